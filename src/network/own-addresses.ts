/**
 * Every IPv4 address that this box has: in the agent's network namespace and in every other one that a process or a name
 * below /run/netns holds, so also in those of NFs. Namespaces without a link are left out: nothing reaches them, and those
 * of sandboxes are of that kind. Looked at again after `keptMs`, or more; the agent's own namespace is asked at every connection.
 * Any user may make a namespace and give it any address, so one that belongs to another user namespace counts only for
 * what is on a link of this box: nobody else's packets to a far address come there.
 */

import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { ipv4Addresses, routeTo } from '../linux/netlink.js';
import { insideNamespace, isOwnedByUs } from '../linux/netns.js';
import { listPids } from '../linux/process.js';
import { EGRESS } from '../tunables/index.js';

const NAMED = '/run/netns';
/** `/proc/net/dev` has two lines of headings, then one an interface. */
const LINES_WITH_LOOPBACK_ONLY = 3;

interface Known {
  ours: ReadonlySet<string>;
  /** In namespaces of other user namespaces. */
  theirs: ReadonlySet<string>;
}

export class OwnAddresses {
  private known: Known = { ours: new Set(), theirs: new Set() };
  private untilMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly keptMs: number,
    private readonly look: () => Known = everyAddress,
  ) {}

  /** Also where the kernel here takes it for its own, or for a broadcast. */
  has(address: string): boolean {
    const fromMs = performance.now();
    if (fromMs > this.untilMs) {
      this.known = this.look();
      // Users may make thousands of namespaces: a look that takes long is kept for longer.
      const nowMs = performance.now();
      this.untilMs = nowMs + Math.max(this.keptMs, (nowMs - fromMs) * EGRESS.restTimes);
    }
    const { ours, theirs } = this.known;
    if (ours.has(address)) return true;
    const { kind, gateway } = routeTo(address);
    if (kind !== 'unicast' && kind !== 'none') return true;
    return theirs.has(address) && !gateway;
  }
}

function everyAddress(): Known {
  const ours = new Set(ipv4Addresses());
  const theirs = new Set<string>();
  const seen = new Set([readlinkSync('/proc/thread-self/ns/net')]);
  const note = (path: string) => {
    const { isOurs, addresses } = addressesIn(path, seen);
    for (const address of addresses) (isOurs ? ours : theirs).add(address);
  };
  for (const pid of listPids()) {
    const path = `/proc/${pid}/ns/net`;
    const name = attempt(() => readlinkSync(path));
    if (name === undefined || seen.has(name)) continue;
    if (hasLinks(pid)) note(path);
    seen.add(name);
  }
  for (const name of attempt(() => readdirSync(NAMED)) ?? []) note(`${NAMED}/${name}`);
  return { ours, theirs };
}

function hasLinks(pid: number): boolean {
  const devices = attempt(() => readFileSync(`/proc/${pid}/net/dev`, 'latin1'));
  return devices === undefined || devices.trimEnd().split('\n').length > LINES_WITH_LOOPBACK_ONLY;
}

/** Empty for a namespace that has just ended or was seen already, and for a file that is not one. */
function addressesIn(path: string, seen: ReadonlySet<string>): { isOurs: boolean; addresses: string[] } {
  const fd = attempt(() => openSync(path, 'r'));
  if (fd === undefined) return { isOurs: true, addresses: [] };
  try {
    if (seen.has(`net:[${fstatSync(fd).ino}]`)) return { isOurs: true, addresses: [] };
    const addresses = attempt(() => insideNamespace(fd, ipv4Addresses)) ?? [];
    return { isOurs: addresses.length === 0 || isOwnedByUs(fd), addresses };
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
