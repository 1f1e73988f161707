/**
 * Runs in a pid namespace of its own, where it can choose the next pid: an NF ends before, or while, it is measured, and
 * somebody else gets its pid. One line of JSON: who was measured.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { startTicks } from '../../../src/linux/process.js';
import type { ProcessId } from '../../../src/linux/process-directory.js';
import { openNf } from '../../../src/nf/latency/nf-directory.js';
import { startProbe } from '../../../src/nf/latency/probe.js';
import { createProber } from '../../../src/nf/latency/probers.js';
import { startTap } from '../../../src/nf/latency/tap.js';
import type { Measurement } from '../../../src/nf/measurement.js';
import { end, startAs, startInOwnNamespace } from './next-pid.js';

const SERVER = `require('node:http').createServer((_, answer) => { console.log('asked'); answer.end(); })
  .listen(0, '127.0.0.1', () => console.log('listens'))`;

async function startServer(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return child;
}

const idOf = ({ pid = 0 }: ChildProcess): ProcessId => ({ pid, startTicks: startTicks(pid)! });

async function outcome(measurement: Promise<Measurement<'matched'>>): Promise<string> {
  try {
    await (await measurement).close();
    return 'entered';
  } catch (thrown) {
    return (thrown as { code: string }).code;
  }
}

const nf = await startInOwnNamespace();
const id = idOf(nf);
await end(nf);
const other = await startAs(id.pid, startInOwnNamespace, id.startTicks);
const probe = await outcome(startProbe(id, { kind: 'icmp', target: '127.0.0.1', from: 'nf' }));
const tap = await outcome(startTap({ nf: id, ingress: 'lo', egress: 'lo', invariant: 'payload-tail' }));
await end(other);

const server = await startServer();
const { startTicks: beforeTicks } = idOf(server);
const directory = openNf(idOf(server));
const options = { pid: server.pid!, directory, kind: 'http', host: undefined, port: 0, path: '/' } as const;
const prober = createProber(options);
const answered = prober.probe() > 0;
await end(server);
const impostor = await startAs(server.pid!, startServer, beforeTicks);
let asked: string;
try {
  asked = `answered in ${prober.probe()} ns`;
} catch (thrown) {
  asked = (thrown as { code: string }).code;
}
prober.close();
await end(impostor);
process.stdout.write(`${JSON.stringify({ probe, tap, answered, asked })}\n`);
process.exit(0);
