/**
 * Computes for a while: `ms` milliseconds of CPU time from the query (`?ms=5`) or the event, 5 by default.
 * It counts CPU time, not wall time: preempted by packets, it takes longer and does the same work.
 */
interface Context {
  query: string;
}

const usedMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

export default (event: { ms?: number } | null, context: Context) => {
  const ms = Number(new URLSearchParams(context.query).get('ms') ?? event?.ms ?? 5);
  const endMs = usedMs() + Math.min(Math.max(ms, 0), 60_000);
  let value = 1;
  let rounds = 0;
  do {
    for (let i = 0; i < 20_000; i++) value = (value * 1_103_515_245 + 12_345) % 2_147_483_648;
    rounds++;
  } while (usedMs() < endMs);
  return { ms, rounds, value };
};
