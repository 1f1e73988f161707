/** Every constant that somebody may want to turn: unit in the name, reason in the comment. Grouped by part. */

export const CONTROL = {
  /** The loop's period while functions run. A conflict is seen within one period. */
  periodUs: 1_000,
  /** The loop's period while no function can run: costs nothing, still notices a restarted NF in time. */
  idlePeriodMs: 20,
  /** FIFO priority of the control thread: above traffic generators, below the kernel's own threads. */
  fifoPriority: 20,
  /** Window over which ratios are averaged: long enough that a 4 ms tick's rounding disappears. */
  ratioWindowMs: 100,
} as const;

export const HARVEST = {
  /** Calls that run at once on an NF core: one keeps the NF's caches warm and latency predictable. */
  runningPerCore: 1,
  /** Calls sent to a sandbox ahead of time, so that the core does not idle for a socket's round trip. */
  sendAhead: 1,
} as const;

export const POOL = {
  /** Stems kept ready. */
  stems: 2,
  /** Warm sandboxes kept for a function that has none running: a start then costs no load. */
  warmPerFunction: 1,
  /** An unused warm sandbox beyond `warmPerFunction` ends after this. */
  keepAliveMs: 60_000,
  /** No new sandbox is made below this much available memory. */
  reserveBytes: 512 * 1024 * 1024,
  memoryMaxDefaultBytes: 128 * 1024 * 1024,
  pidsMax: 64,
} as const;

export const GATEWAY = {
  host: '127.0.0.1',
  port: 8080,
  /** Larger bodies are refused with BODY_TOO_LARGE: AWS Lambda's limit for synchronous calls. */
  bodyMaxBytes: 6 * 1024 * 1024,
  timeoutDefaultMs: 30_000,
  /** Calls that may wait for one function before OVERLOADED is answered. */
  queueMax: 10_000,
} as const;

export const FEED = {
  hz: 10,
  /** A reader with more than this unsent loses frames. */
  backlogMaxBytes: 1024 * 1024,
  eventsKept: 1_000,
} as const;

export const DISCOVERY = {
  /** An NF that starts, dies or restarts is noticed within a second. */
  periodMs: 500,
} as const;

/** Flow tables of the reference firewall, nat and lb; each may be set in the function's configuration. */
export const FLOWS = {
  /** About 130 bytes each: 8 MB. */
  maxFlows: 65_536,
  /** UDP, ICMP and the rest. RFC 4787 asks for at least 2 minutes for NAT mappings. */
  datagramTimeoutMs: 120_000,
  /** TCP until its other side answered. */
  tcpOpeningTimeoutMs: 30_000,
  /** RFC 5382: not less than 2 hours 4 minutes. */
  tcpTimeoutMs: 7_440_000,
  /** After a FIN or RST: long enough for the last segments. */
  tcpClosingTimeoutMs: 10_000,
} as const;
