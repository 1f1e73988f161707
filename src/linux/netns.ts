/**
 * Network namespaces without names, for test beds. Each is held by a process that is tied to this one, so after
 * `kill -9` of everything nothing is left: no holder, no namespace, and with it none of its veth links.
 * (`ip netns add` would leave a mount.)
 */

import { closeSync, fstatSync, openSync, readlinkSync, statSync } from 'node:fs';
import { NemoError } from '../model/errors.js';
import { TextTail } from '../streams/text-tail.js';
import { OUTPUT } from '../tunables/index.js';
import { check, close, gettid, ioctl, setns } from './libc.js';
import type { ChildProcess, SpawnOptions } from './spawn.js';
import { endProcess, runCommand, spawnTied } from './tied-process.js';

/** The namespace's own addresses and neighbour discovery off: only the packets of the test bed shall flow. */
const HOLD = [
  'for scope in all default; do echo 1 > /proc/sys/net/ipv6/conf/$scope/disable_ipv6; done 2>/dev/null',
  'ip link set lo up || exit 1',
  'echo ready',
  'exec cat',
].join('\n');

export class Namespace {
  constructor(private readonly holder: ChildProcess) {}

  get pid(): number {
    return this.holder.pid!;
  }

  /** Works with setns() and nsenter as long as the namespace is open. */
  get path(): string {
    return `/proc/${this.pid}/ns/net`;
  }

  /** Runs a command inside to its end; resolves with its standard output. */
  run(command: string, args: readonly string[]): Promise<string> {
    return runCommand('nsenter', this.enter(command, args));
  }

  /** Starts a process inside, tied to this one; its pid is that of the command. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawnTied('nsenter', this.enter(command, args), options);
  }

  /** Ends the holder. The namespace goes when the last process in it ends. */
  close(): Promise<void> {
    return endProcess(this.holder);
  }

  private enter(command: string, args: readonly string[]): string[] {
    return [`--net=${this.path}`, '--', command, ...args];
  }
}

/** A new namespace with only `lo`, which is up. Throws NOT_ROOT, MISSING_PACKAGE, SYSCALL. */
export async function createNamespace(): Promise<Namespace> {
  if (process.geteuid?.() !== 0) {
    throw new NemoError('NOT_ROOT', 'making a network namespace needs root', { hint: 'run it as root' });
  }
  // `cat` on a pipe of ours: a second tie, which also works where the parent-death signal is filtered.
  const holder = spawnTied('unshare', ['--net', 'sh', '-c', HOLD], { stdio: ['pipe', 'pipe', 'pipe'] });
  await new Promise<void>((resolve, reject) => {
    const complaint = new TextTail(OUTPUT.complaintMaxChars);
    holder.stderr!.on('data', complaint.add);
    holder.once('error', (cause) =>
      reject(
        new NemoError('MISSING_PACKAGE', cause.message, { cause, hint: 'apt install util-linux iproute2' }),
      ),
    );
    holder.once('close', () =>
      reject(new NemoError('SYSCALL', `unshare --net failed: ${complaint.text.trim()}`)),
    );
    holder.stdout!.once('data', () => resolve());
  });
  const namespace = new Namespace(holder);
  if (readlinkSync(namespace.path) === readlinkSync('/proc/self/ns/net')) {
    await namespace.close();
    throw new NemoError('UNSUPPORTED', 'unshare --net gave no namespace of its own');
  }
  return namespace;
}

/** Links two namespaces by a veth pair, both ends up. The pair is made in place and never seen outside them. */
export async function connect(
  a: Namespace,
  interfaceA: string,
  b: Namespace,
  interfaceB: string,
  options: { mtu: number } = { mtu: 1600 },
): Promise<void> {
  const end = (name: string, namespace: Namespace) => [
    'name',
    name,
    'netns',
    String(namespace.pid),
    'mtu',
    String(options.mtu),
  ];
  await runCommand('ip', [
    'link',
    'add',
    ...end(interfaceA, a),
    'type',
    'veth',
    'peer',
    ...end(interfaceB, b),
  ]);
  await Promise.all([
    a.run('ip', ['link', 'set', interfaceA, 'arp', 'off', 'up']),
    b.run('ip', ['link', 'set', interfaceB, 'arp', 'off', 'up']),
  ]);
}

const CLONE_NEWNET = 0x40000000;

/**
 * Calls `action` with this thread inside the namespace at a path, or behind a descriptor, which stays open: sockets that it
 * opens stay there. It must not return a promise, as the thread is outside again when this returns.
 */
export function insideNamespace<T>(where: string | number, action: () => T): T {
  const home = openSync(`/proc/self/task/${gettid()}/ns/net`, 'r');
  try {
    const target = typeof where === 'number' ? where : openSync(where, 'r');
    try {
      check(setns(target, CLONE_NEWNET), 'setns', `network namespace ${where}`);
    } finally {
      if (target !== where) closeSync(target);
    }
    try {
      return action();
    } finally {
      check(setns(home, CLONE_NEWNET), 'setns', 'the namespace of this thread');
    }
  } finally {
    closeSync(home);
  }
}

const NS_GET_USERNS = 0xb701;

/** Whether the namespace behind a descriptor belongs to this process's user namespace, ioctl_ns(2): else any user may have made it. */
export function isOwnedByUs(namespace: number): boolean {
  const owner = ioctl(namespace, NS_GET_USERNS, new Uint8Array(1));
  // The owner of what is older than our own user namespace is none of our business, and no stranger.
  if (owner < 0) return true;
  try {
    return fstatSync(owner).ino === statSync('/proc/self/ns/user').ino;
  } finally {
    close(owner);
  }
}
