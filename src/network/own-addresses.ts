/**
 * Every IPv4 address that this box has: in the agent's network namespace and in every other one that a process or a name
 * below /run/netns holds, so also in those of NFs. Namespaces without a link are left out: nothing reaches them, and those
 * of sandboxes are of that kind. Looked at again after `keptMs`; the agent's own namespace is asked at every connection.
 */

import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { ipv4Addresses, routeKind } from '../linux/netlink.js';
import { insideNamespace } from '../linux/netns.js';
import { listPids } from '../linux/process.js';

const NAMED = '/run/netns';
/** `/proc/net/dev` has two lines of headings, then one an interface. */
const LINES_WITH_LOOPBACK_ONLY = 3;

export class OwnAddresses {
  private known: ReadonlySet<string> = new Set();
  private lookedMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly keptMs: number) {}

  /** With `address` itself if the kernel here takes it for its own, or for a broadcast. */
  with(address: string, nowMs = performance.now()): ReadonlySet<string> {
    if (nowMs - this.lookedMs > this.keptMs) {
      this.known = everyAddress();
      this.lookedMs = nowMs;
    }
    if (this.known.has(address)) return this.known;
    const kind = routeKind(address);
    return kind === 'unicast' || kind === 'none' ? this.known : new Set([...this.known, address]);
  }
}

function everyAddress(): Set<string> {
  const found = new Set(ipv4Addresses());
  const seen = new Set([readlinkSync('/proc/thread-self/ns/net')]);
  for (const pid of listPids()) {
    const path = `/proc/${pid}/ns/net`;
    const name = attempt(() => readlinkSync(path));
    if (name === undefined || seen.has(name)) continue;
    seen.add(name);
    if (hasLinks(pid)) for (const address of addressesIn(path)) found.add(address);
  }
  for (const name of attempt(() => readdirSync(NAMED)) ?? []) {
    for (const address of addressesIn(`${NAMED}/${name}`, seen)) found.add(address);
  }
  return found;
}

function hasLinks(pid: number): boolean {
  const devices = attempt(() => readFileSync(`/proc/${pid}/net/dev`, 'latin1'));
  return devices === undefined || devices.trimEnd().split('\n').length > LINES_WITH_LOOPBACK_ONLY;
}

/** None of one that has just ended, or that is no namespace. */
function addressesIn(path: string, seen?: ReadonlySet<string>): string[] {
  const fd = attempt(() => openSync(path, 'r'));
  if (fd === undefined) return [];
  try {
    if (seen?.has(`net:[${fstatSync(fd).ino}]`)) return [];
    return attempt(() => insideNamespace(fd, ipv4Addresses)) ?? [];
  } finally {
    closeSync(fd);
  }
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
