/** Takes so many MiB of memory, says so, and waits. */
const held: Buffer[] = [];
for (let i = 0; i < Number(process.argv[2]); i++) held.push(Buffer.alloc(2 ** 20, 1));
process.stdout.write('held\n');
process.stdin.resume().on('end', () => process.exit(held.length > 0 ? 0 : 1));
