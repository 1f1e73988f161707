/**
 * Finds out what the kernel lets us do by doing it to something that lives for a moment. Asking for capabilities or
 * versions instead would be wrong in containers, under seccomp, and on kernels built without the feature.
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import type { Controller } from '../linux/cgroup/driver.js';
import { openCgroupDriver } from '../linux/cgroup/open.js';
import { close, schedGetscheduler, schedSetscheduler, socket } from '../linux/libc.js';
import { SoftnetStat } from '../linux/net-counters.js';
import { insideNamespace } from '../linux/netns.js';
import { ThreadStat } from '../linux/procfs.js';
import { spawn } from '../linux/spawn.js';
import { NemoError } from '../model/errors.js';

const SCHED_OTHER = 0;
const SCHED_FIFO = 1;
const SCHED_IDLE = 5;
const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NOBODY = 65_534;

export interface SchedulingFacts {
  idle: boolean;
  fifo: boolean;
}

/** Tries both policies on a process that waits for its input to end. */
export async function probeScheduling(): Promise<SchedulingFacts> {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  try {
    await once(child, 'spawn');
  } catch {
    return { idle: false, fifo: false };
  }
  const pid = child.pid!;
  const takes = (policy: number, priority: number) =>
    schedSetscheduler(pid, policy, Int32Array.of(priority)) === 0 && schedGetscheduler(pid) === policy;
  const fifo = takes(SCHED_FIFO, 1);
  takes(SCHED_OTHER, 0);
  const idle = takes(SCHED_IDLE, 0);
  const ended = once(child, 'exit');
  child.stdin.end();
  await ended;
  return { idle, fifo };
}

/** Protocol 0: the socket receives nothing. That it opens is the answer. */
export function probePacketSocket(): boolean {
  const fd = socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0);
  if (fd < 0) return false;
  close(fd);
  return true;
}

/** Whether an unprivileged process may make a user namespace. */
export function probeUserNamespaces(): Promise<boolean> {
  const asNobody = process.geteuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  return succeeds('unshare', ['--user', '--map-root-user', 'true'], asNobody);
}

/** Whether bubblewrap can really make its namespaces here. */
export function probeBubblewrap(): Promise<boolean> {
  return succeeds('bwrap', ['--unshare-all', '--die-with-parent', '--ro-bind', '/', '/', 'true']);
}

/** Whether a thread of ours may enter a network namespace, as taps and probes do. */
export function probeNamespaceEntry(): boolean {
  try {
    return insideNamespace('/proc/self/ns/net', () => true);
  } catch {
    return false;
  }
}

/** Which counters of the kernel can be read that show trouble before latency does. */
export interface CounterFacts {
  /** Backlog, drops and squeezes of each core. */
  softnet: boolean;
  /** How long threads waited for their core. */
  runQueueDelay: boolean;
}

export function probeCounters(): CounterFacts {
  const softnet = new SoftnetStat(0);
  const thread = new ThreadStat(process.pid, process.pid);
  const facts = { softnet: softnet.read(), runQueueDelay: thread.read() && thread.slices > 0 };
  softnet.close();
  thread.close();
  return facts;
}

export interface CgroupFacts {
  layout: 'v1' | 'hybrid' | 'v2' | 'none';
  missing: Controller[];
  /** The root group of all functions can be marked `cpu.idle`. */
  idle: boolean;
  /** Why there is no layout, as a message for an operator, and what helps. */
  refusal?: string;
  wayOut?: string;
}

/** Makes and removes a group, which needs root. */
export async function probeCgroups(): Promise<CgroupFacts> {
  try {
    const driver = openCgroupDriver({ rootName: `nemo-doctor-${process.pid}`, idle: true });
    await driver.removeAll();
    return { layout: driver.layout, missing: [...driver.missing], idle: driver.idleGroup };
  } catch (thrown) {
    return {
      layout: 'none',
      missing: ['cpu', 'cpuset', 'memory', 'pids', 'freezer'],
      idle: false,
      refusal: (thrown as Error).message,
      ...(thrown instanceof NemoError && thrown.hint !== undefined ? { wayOut: thrown.hint } : {}),
    };
  }
}

/** Sends PING to `port` on 127.0.0.1. A server that asks for a password counts as there. */
export function probeRedis(port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect({ host: '127.0.0.1', port });
    const answer = (reachable: boolean) => {
      connection.destroy();
      resolve(reachable);
    };
    connection.setTimeout(timeoutMs, () => answer(false));
    connection.once('connect', () => connection.write('PING\r\n'));
    connection.once('data', (data) => answer(/^(\+PONG|-NOAUTH)/.test(data.toString('latin1'))));
    connection.once('error', () => answer(false));
    connection.once('end', () => answer(false));
  });
}

function succeeds(
  command: string,
  args: string[],
  as: { uid?: number; gid?: number } = {},
): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'ignore', timeout: 2_000, cwd: '/', ...as });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}
