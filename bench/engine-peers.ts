/** What engines are compared with: a bare echo between two processes, workerd, and memory as the kernel counts it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setProcessAffinity } from '../src/linux/sched.js';
import { NemoError } from '../src/model/errors.js';
import { cpuTimeNs } from './cpu-time.js';
import { median } from './statistics.js';

const ECHO = `
  const server = require('node:net').createServer((socket) => socket.on('data', (bytes) => socket.write(bytes)));
  server.listen(process.argv[1], () => console.log('up'));`;
/** As many bytes as a call without headers takes. */
const ECHO_BYTES = 100;
const WORKERD = fileURLToPath(new URL('../../node_modules/.bin/workerd', import.meta.url));
const START_LIMIT_MS = 20_000;

/** node's own sockets, nothing else: the least that a call between two processes can cost here. */
export class Echo {
  private constructor(
    private readonly child: ChildProcess,
    private readonly socket: Socket,
  ) {}

  static async start(directory: string, core: number): Promise<Echo> {
    const path = join(directory, 'echo.sock');
    const child = spawn(process.execPath, ['-e', ECHO, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout!, 'data');
    setProcessAffinity(child.pid!, [core]);
    const socket = connect(path);
    await once(socket, 'connect');
    return new Echo(child, socket);
  }

  async p50Us(trips: number): Promise<number> {
    const bytes = Buffer.alloc(ECHO_BYTES);
    const times: number[] = [];
    for (let i = 0; i < trips; i++) {
      const startMs = performance.now();
      await new Promise<void>((resolve) => {
        this.socket.once('data', () => resolve());
        this.socket.write(bytes);
      });
      times.push((performance.now() - startMs) * 1_000);
    }
    return median(times)!;
  }

  close(): void {
    this.socket.destroy();
    this.child.kill('SIGKILL');
  }
}

const CONFIG = (port: number): string => `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "main", esModule = "export default { fetch() { return new Response(null) } }")],
    compatibilityDate = "2025-01-01"))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]);
`;

export class Workerd {
  private readonly agent = new Agent({ keepAlive: true });

  private constructor(
    private readonly child: ChildProcess,
    private readonly port: number,
    /** From its start to its first answer. */
    readonly coldMs: number,
  ) {}

  /** Undefined where it is not installed. */
  static async start(directory: string, core: number): Promise<Workerd | undefined> {
    if (!existsSync(WORKERD)) return undefined;
    const port = 20_000 + (process.pid % 20_000);
    const config = join(directory, 'workerd.capnp');
    writeFileSync(config, CONFIG(port));
    const startMs = performance.now();
    const child = spawn('taskset', ['-c', `${core}`, WORKERD, 'serve', config], { stdio: 'ignore' });
    for (;;) {
      const peer = new Workerd(child, port, performance.now() - startMs);
      if (await peer.call().catch(() => false)) {
        const coldMs = performance.now() - startMs;
        peer.agent.destroy();
        return new Workerd(child, port, coldMs);
      }
      if (performance.now() - startMs > START_LIMIT_MS) {
        child.kill('SIGKILL');
        throw new NemoError('INTERNAL', 'workerd did not answer');
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  private call(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const sent = request({ port: this.port, host: '127.0.0.1', agent: this.agent }, (answer) => {
        answer.resume().once('end', () => resolve(answer.statusCode === 200));
      });
      sent.once('error', reject).end();
    });
  }

  async throughput(outstanding: number, seconds: number): Promise<{ perS: number; perCpuS: number }> {
    const cpu = cpuTimeNs(this.workerPid());
    const startMs = performance.now();
    let calls = 0;
    const lane = async (): Promise<void> => {
      while (performance.now() - startMs < seconds * 1_000) {
        await this.call();
        calls++;
      }
    };
    await Promise.all(Array.from({ length: outstanding }, lane));
    const wallS = (performance.now() - startMs) / 1_000;
    return { perS: calls / wallS, perCpuS: calls / (cpu() / 1e9) };
  }

  /** Its launcher is a script of node that starts the program. */
  private workerPid(): number {
    return descendants(this.child.pid!).at(-1)!;
  }

  async close(): Promise<void> {
    this.agent.destroy();
    const ended = once(this.child, 'exit');
    for (const pid of descendants(this.child.pid!).reverse()) process.kill(pid, 'SIGKILL');
    await ended;
  }
}

/** A child belongs to the thread that forked it: runc's to any of its threads. */
function descendants(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((tid) =>
    readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').split(' ').filter(Boolean),
  );
  return [pid, ...children.flatMap((child) => descendants(Number(child)))];
}

/** Memory of process trees: what they share is divided among those that share it. */
export function proportionalBytes(roots: Iterable<number>): number {
  let kib = 0;
  for (const root of roots) {
    for (const pid of descendants(root)) {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      kib += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    }
  }
  return kib * 1024;
}
