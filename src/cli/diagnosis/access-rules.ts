/** What NEMO has to be able to open and start: packet sockets, programs, namespaces. */

import type { HostFacts } from '../../host/host.js';
import { installLine } from '../../host/packages.js';
import type { Rule } from './rule.js';

export const ACCESS_RULES: readonly Rule[] = [
  {
    what: 'packet sockets',
    essential: true,
    state: (host) => (host.packetSocket ? 'ok' : 'missing'),
    detail: (host) => (host.packetSocket ? 'can be opened' : 'refused'),
    lost: 'no reference NF, no traffic, and packet latency cannot be tapped',
    wayOut: () => 'run as root; in a container, add the capability NET_RAW',
  },
  {
    what: 'ip',
    essential: true,
    state: (host) => (host.programs.ip === null ? 'missing' : 'ok'),
    detail: (host) => host.programs.ip ?? 'not installed',
    lost: 'no network namespaces, so no demo and no bench',
    wayOut: () => installLine(['iproute2']),
  },
  {
    what: 'bubblewrap',
    essential: true,
    state: (host) => (host.bubblewrapWorks ? 'ok' : 'missing'),
    detail: (host) =>
      host.bubblewrapWorks
        ? (host.programs.bwrap ?? 'yes')
        : host.programs.bwrap === null
          ? 'not installed'
          : 'installed, but it cannot make namespaces here',
    lost: 'functions have no sandbox to run in',
    wayOut: (host) =>
      host.programs.bwrap === null
        ? installLine(['bubblewrap'])
        : 'allow namespaces: run as root, and in a container with CAP_SYS_ADMIN and no seccomp filter on unshare',
  },
  {
    what: 'util-linux programs',
    state: (host) => (absentTools(host).length === 0 ? 'ok' : 'degraded'),
    detail: (host) => (absentTools(host).length === 0 ? 'all there' : `no ${absentTools(host).join(', ')}`),
    lost: 'some of the tests and examples cannot run',
    wayOut: () => installLine(['util-linux']),
  },
  {
    what: 'user namespaces',
    state: (host) => (host.userNamespaces ? 'ok' : 'missing'),
    detail: (host) => (host.userNamespaces ? 'for everybody' : 'not for unprivileged users'),
    lost: 'nothing as root; an unprivileged sandbox could not be made',
    wayOut: () => 'sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000',
  },
];

function absentTools(host: HostFacts): string[] {
  return (['unshare', 'nsenter', 'setpriv', 'chrt', 'taskset'] as const).filter(
    (program) => host.programs[program] === null,
  );
}
