/**
 * The timeout class of a flow, from its last packet: the one policy of firewall, nat and lb on how long a silent flow
 * lives. Easy to get wrong: a TCP flow is established only when its other side was heard, so that a scan or a SYN
 * flood fills the table with entries that live for seconds, not for hours.
 */

import { FLOWS } from '../../tunables/index.js';
import { type Headers, L4_TCP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../headers.js';
import type { ConfigReader } from './config.js';

const DATAGRAM = 0;
const OPENING = 1;
export const ESTABLISHED = 2;
const CLOSING = 3;

/** `current` is -1 for a new flow; `side` is 1 for a packet of the side that did not start it. */
export function flowClass(h: Headers, current: number, side: number): number {
  if (h.l4Kind !== L4_TCP) return DATAGRAM;
  if ((h.tcpFlags & (TCP_FIN | TCP_RST)) !== 0) return CLOSING;
  // The ports are used again for a new connection.
  if ((h.tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_SYN) return current === ESTABLISHED ? ESTABLISHED : OPENING;
  if (current === CLOSING || current === ESTABLISHED) return current;
  return side === 1 ? ESTABLISHED : OPENING;
}

/** Timeouts in the order of the classes, read from a function's configuration. */
export function readTimeouts(config: ConfigReader): number[] {
  const dayMs = 86_400_000;
  return [
    config.integer('datagramTimeoutMs', FLOWS.datagramTimeoutMs, 1, dayMs),
    config.integer('tcpOpeningTimeoutMs', FLOWS.tcpOpeningTimeoutMs, 1, dayMs),
    config.integer('tcpTimeoutMs', FLOWS.tcpTimeoutMs, 1, dayMs),
    config.integer('tcpClosingTimeoutMs', FLOWS.tcpClosingTimeoutMs, 1, dayMs),
  ];
}

export function readMaxFlows(config: ConfigReader): number {
  return config.integer('maxFlows', FLOWS.maxFlows, 1, 1 << 22);
}
