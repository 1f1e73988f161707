/** A rule of the diagnosis: how one thing of a host is judged, what is lost without it, and the way out. */

import type { HostFacts } from '../../host/host.js';

export interface Rule {
  what: string;
  essential?: true;
  state: (host: HostFacts) => 'ok' | 'missing' | 'degraded';
  detail: (host: HostFacts) => string;
  lost: string;
  wayOut: (host: HostFacts) => string;
}

export function online(host: HostFacts) {
  return host.cores.filter((core) => core.online);
}
