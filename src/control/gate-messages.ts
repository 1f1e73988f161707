/** What the threads of a slice gate share. Each word of `GateWord` has one writer. */

export interface GateSandbox {
  slot: number;
  /** File that lists its threads. */
  tasksPath: string;
}

export interface GateData {
  /** The polling NF's core. */
  core: number;
  /** Core of the donor. */
  donorCore: number;
  board: SharedArrayBuffer;
  slots: SharedArrayBuffer;
  words: SharedArrayBuffer;
  nfPid: number;
}

export type ToDonor = { kind: 'sandboxes'; sandboxes: GateSandbox[] };
export type FromGate = { kind: 'ready' } | { kind: 'refused'; reason: string };

/**
 * `lease`: number of the present lease, `done`: of the last one that ended; both the donor's. `released`: of the last
 * lease in which the gate will raise the donor no more, the gate's. `stop`: the main thread's. `loan`: the PI futex.
 */
export const GateWord = {
  lease: 0,
  done: 1,
  released: 2,
  donorTid: 3,
  gateTid: 4,
  stop: 5,
  loan: 6,
} as const;
/** Where in `words` the end of the lease stands, monotonic nanoseconds as a double; the donor's. */
export const LEASE_END_OFFSET = 32;
export const GATE_WORDS_BYTES = 40;
