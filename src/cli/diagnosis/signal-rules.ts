/** What tells early that functions disturb an NF: counters of the kernel, and the way into the namespaces of NFs. */

import type { Rule } from './rule.js';

export const SIGNAL_RULES: readonly Rule[] = [
  {
    what: 'pressure (PSI)',
    state: (host) => (host.pressure ? 'ok' : 'missing'),
    detail: (host) => (host.pressure ? 'yes' : 'no'),
    lost: 'stalls on memory are not a leading sign, and memory pressure is seen from available memory alone',
    wayOut: () => 'boot with psi=1',
  },
  {
    what: 'run-queue delay',
    state: (host) => (host.counters.runQueueDelay ? 'ok' : 'missing'),
    detail: (host) => (host.counters.runQueueDelay ? 'counted for each thread' : 'not counted'),
    lost: 'the latency source `runqueue` and the first leading sign: NF threads that wait for their core',
    wayOut: () => 'use a kernel with CONFIG_SCHED_INFO, and a /proc that shows other processes',
  },
  {
    what: 'packet backlog',
    state: (host) => (host.counters.softnet ? 'ok' : 'missing'),
    detail: (host) =>
      host.counters.softnet ? 'drops and squeezes counted for each core' : 'not told by core',
    lost: 'packets dropped before an NF sees them are not a leading sign',
    wayOut: () => 'use a kernel of version 5.10 or later',
  },
  {
    what: "NFs' namespaces",
    state: (host) => (host.namespaceEntry ? 'ok' : 'missing'),
    detail: (host) => (host.namespaceEntry ? 'can be entered' : 'cannot be entered'),
    lost: 'no taps, and no probes from inside, of NFs in network namespaces',
    wayOut: () => 'run as root; in a container, add the capability SYS_ADMIN',
  },
];
