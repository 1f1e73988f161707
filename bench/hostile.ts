/**
 * Functions that attack: the NF's core, its memory bus and its packets, the agent that serves them, its word on what is
 * an NF. Each is called again as soon as it has ended or was ended. By name; the bench measures an NF beside each, and
 * the escape suite looks at what each leaves behind.
 */

import type { Workload } from './types.js';

type Attack = Omit<Workload, 'hostile'>;

const FORKS_CODE = `import { spawn } from 'node:child_process';
export default async () => {
  let ended = 0;
  await Promise.all(Array.from({ length: 12 }, () => new Promise((done) => {
    const child = spawn('/proc/self/exe', ['--version'], { stdio: 'ignore' });
    child.on('error', done);
    child.on('close', () => { ended++; done(); });
  })));
  return { ended };
};`;

const STREAM_CODE = `const from = Buffer.alloc(24 << 20, 1), to = Buffer.alloc(24 << 20);
export default async () => {
  for (let i = 0; i < 6; i++) { from.copy(to); to.copy(from); }
  return { bytes: 12 * from.length };
};`;

/** Through its own loopback: packets of TCP, since a sandbox has no UDP. Nobody keeps what arrives. */
const FLOOD_CODE = `import { connect, createServer } from 'node:net';
const server = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
const socket = await new Promise((done) => server.once('listening', () => {
  const one = connect({ port: server.address().port, host: '127.0.0.1', noDelay: true }, () => done(one));
}));
server.unref();
socket.unref();
const block = Buffer.alloc(1400);
export default async () => {
  const end = performance.now() + 20;
  let sent = 0;
  while (performance.now() < end) {
    for (let i = 0; i < 64; i++, sent++) socket.write(block);
    await new Promise((done) => socket.write(block, done));
  }
  return { sent };
};`;

const CHURN_CODE = `export default async () => {
  let sum = 0;
  for (let i = 0; i < 6; i++) { const block = Buffer.alloc(16 << 20, i + 1); sum += block[i << 12]; }
  globalThis.gc?.();
  return { sum };
};`;

/** Takes an NF's name for its process and its threads, and works under it. */
const POSES_CODE = `export default async () => {
  process.title = 'nemo-nf-firewall';
  const end = performance.now() + 30;
  let sum = 0;
  while (performance.now() < end) sum = (sum * 31 + 1) | 0;
  return { sum };
};`;

/** Writes to the agent's socket itself: control frames that nobody asked for, as fast as they go. */
const FRAMES_CODE = `import { writeSync } from 'node:fs';
const READY = 16, HEADER_BYTES = 20;
const frames = Buffer.alloc(HEADER_BYTES * 3000);
for (let at = 12; at < frames.length; at += HEADER_BYTES) frames[at] = READY;
export default async () => {
  const end = performance.now() + 30;
  let sent = 0;
  while (performance.now() < end) {
    try { sent += writeSync(3, frames); } catch (error) { if (error.code !== 'EAGAIN') throw error; }
  }
  return { sent };
};`;

const PRINTS_CODE = `const line = 'x'.repeat(80) + '\\n';
export default async () => {
  const end = performance.now() + 30;
  while (performance.now() < end) {
    for (let i = 0; i < 100; i++) process.stdout.write(line);
    await new Promise((done) => setImmediate(done));
  }
  return 'printed';
};`;

/** An answer in as many pieces as there are bytes. */
const TRICKLE_CODE = `const byte = new Uint8Array([46]);
export default () => {
  let left = 20000;
  return new Response(new ReadableStream({
    pull(controller) { controller.enqueue(byte); if (--left === 0) controller.close(); },
  }));
};`;

const OOM_CODE = `export default async () => { const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1)); };`;

/** Signals whatever it can name, itself last. */
const SIGNALS_CODE = `import { readdirSync } from 'node:fs';
export default async () => {
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (pid > 0 && pid !== process.pid) try { process.kill(pid, 'SIGSTOP'); } catch {}
  }
  for (const pid of [-1, process.pid]) try { process.kill(pid, 'SIGSTOP'); } catch {}
  return 'stopped';
};`;

/** Ten thousand timers that are due at once, again and again. */
const TIMERS_CODE = `export default async () => {
  const end = performance.now() + 30;
  await new Promise((done) => {
    let open = 10000;
    const next = () => { if (performance.now() < end) setTimeout(next, 1); else if (--open === 0) done(); };
    for (let i = 0; i < 10000; i++) setTimeout(next, 1);
  });
  return 'rang';
};`;

const ROOMY = { memory: '256Mi' };

const ATTACKS: Record<string, Attack> = {
  forks: {
    about: 'starts twelve processes at once, again and again',
    code: FORKS_CODE,
    options: ROOMY,
    cpuMs: 200,
  },
  memstream: {
    about: 'streams 288 MB through the memory bus',
    code: STREAM_CODE,
    options: ROOMY,
    cpuMs: 40,
  },
  loopflood: {
    about: 'sends through its own loopback as fast as it can for 20 ms',
    code: FLOOD_CODE,
    cpuMs: 20,
  },
  churn: { about: 'maps, fills and drops 96 MB', code: CHURN_CODE, options: ROOMY, cpuMs: 30 },
  poses: { about: 'calls itself an NF', code: POSES_CODE, cpuMs: 30 },
  frames: { about: 'floods the agent with frames that nobody asked for', code: FRAMES_CODE, cpuMs: 30 },
  prints: { about: 'prints as fast as it can', code: PRINTS_CODE, cpuMs: 30 },
  trickle: { about: 'answers in 20,000 pieces of a byte', code: TRICKLE_CODE, cpuMs: 30 },
  oom: { about: 'takes memory without end', code: OOM_CODE, options: { memory: '64Mi' }, cpuMs: 30 },
  signals: {
    about: 'stops every process that it can name',
    code: SIGNALS_CODE,
    options: { timeout: '300ms' },
    cpuMs: 1,
  },
  timers: { about: 'ten thousand timers at once', code: TIMERS_CODE, cpuMs: 30 },
};

export const HOSTILE: Record<string, Workload> = Object.fromEntries(
  Object.entries(ATTACKS).map(([name, attack]) => [name, { ...attack, hostile: true as const }]),
);
