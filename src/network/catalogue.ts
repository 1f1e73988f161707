/** All kinds of networks. */

import { Egress } from './egress.js';
import type { NetworkKind, NetworkManager } from './network-manager.js';

const NETWORKS = {
  relay: {
    kind: 'relay',
    about:
      'listens inside the sandbox’s empty namespace where allowed destinations would be, connects outside',
    open: (allow) => new Egress(allow),
  },
} as const satisfies Record<string, NetworkKind>;

export function openNetwork(kind: keyof typeof NETWORKS, allow: readonly string[]): NetworkManager {
  return NETWORKS[kind].open(allow);
}
