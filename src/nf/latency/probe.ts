/**
 * The latency source `probe`: a few small requests or packets of our own through the NF. For NFs that end connections, or
 * whose packets cannot be recognised behind them. It measures what the NF does to a probe, which is what it does to
 * others only if it does not treat them apart; and a probe waits for all of the NF's workers together.
 */

import { isIPv4 } from 'node:net';
import { byDescriptor, type ProcessId } from '../../linux/process-directory.js';
import { NemoError } from '../../model/errors.js';
import type { ProbeSpec } from '../../model/nf-profile.js';
import { startWorker } from '../measurement.js';
import { openNf } from './nf-directory.js';
import type { ProbeWorkerData } from './probers.js';
import type { Tap } from './tap.js';
import { TapMemory } from './tap-memory.js';

export interface ProbeTarget {
  /** Undefined: where the NF listens. */
  host: string | undefined;
  port: number;
  path: string;
}

/** Pure. Throws BAD_PROFILE for a target that cannot be meant. */
export function probeTarget({ kind, target }: ProbeSpec): ProbeTarget {
  const wrong = (wanted: string) =>
    new NemoError('BAD_PROFILE', `latency.probe.target: expected ${wanted}, got ${target ?? 'nothing'}`, {
      hint: 'IPv4 addresses only; names are not resolved',
    });
  if (kind === 'http') {
    if (target === undefined) return { host: undefined, port: 0, path: '/' };
    if (!URL.canParse(target)) throw wrong('http://address:port/path');
    const { protocol, hostname, port, pathname, search } = new URL(target);
    if (protocol !== 'http:' || !isIPv4(hostname)) throw wrong('http://address:port/path');
    return { host: hostname, port: port === '' ? 80 : Number(port), path: pathname + search };
  }
  const [host = '', port] = (target ?? '').split(':');
  if (kind === 'icmp') {
    if (!isIPv4(host) || port !== undefined) throw wrong('an address');
    return { host, port: 0, path: '' };
  }
  const number = Number(port);
  if (!isIPv4(host) || !(Number.isInteger(number) && number > 0 && number < 65_536))
    throw wrong('address:port');
  return { host, port: number, path: '' };
}

/** Path of the network namespace in which the probe starts; `directory`: the NF's below /proc, opened. A server is asked from inside its own. */
export function probeNamespace({ kind, from }: ProbeSpec, directory: number): string {
  const where = from ?? (kind === 'http' ? 'nf' : 'agent');
  return where === 'nf'
    ? `/proc/${byDescriptor(directory)}/ns/net`
    : where === 'agent'
      ? '/proc/self/ns/net'
      : where;
}

/**
 * Starts probing. `board`: the agent's board, so that probes are rare while no function runs. An NF that does not answer
 * (yet) is not an error: it stands in the source's `fault`, and is asked again. Rejects with BAD_PROFILE, NOT_FOUND (no such
 * namespace, or the NF is gone).
 */
export async function startProbe(nf: ProcessId, spec: ProbeSpec, board?: SharedArrayBuffer): Promise<Tap> {
  const target = probeTarget(spec);
  const memory = TapMemory.create();
  const directory = openNf(nf);
  const data: ProbeWorkerData = {
    shared: memory.shared,
    namespacePath: probeNamespace(spec, directory),
    ...{ pid: nf.pid, directory },
    kind: spec.kind,
    ...target,
    ...(spec.payload === undefined ? {} : { payload: spec.payload }),
    ...(spec.periodMs === undefined ? {} : { periodMs: spec.periodMs }),
    ...(board === undefined ? {} : { board }),
  };
  return startWorker(new URL('./probe-worker.js', import.meta.url), data, memory, [directory]);
}
