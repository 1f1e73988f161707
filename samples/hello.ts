/** Says hello. `nemo invoke hello --data '{"name":"Ada"}'` */
export default async (event: { name?: string } | null) => ({ hello: event?.name ?? 'world' });
