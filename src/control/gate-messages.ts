/** What the threads of a slice gate share. Each word of `GateWord` has one writer. */

export interface GateSandbox {
  slot: number;
  /** File that lists its threads. */
  tasksPath: string;
}

export interface GateData {
  core: number;
  /** Core of the gate's threads. */
  gateCore: number;
  board: SharedArrayBuffer;
  slots: SharedArrayBuffer;
  /** GateWord, 32 bits each; `leaseEndNs` as a double behind them. */
  words: SharedArrayBuffer;
  nfPid: number;
}

export type ToGate = { kind: 'sandboxes'; sandboxes: GateSandbox[] } | { kind: 'stop' };
export type FromGate =
  | { kind: 'ready' }
  | { kind: 'refused'; reason: string }
  | { kind: 'turned'; open: boolean; sliceUs: number };

/** `lease`: counts leases, the lender's; `borrower`: of the present lease; `donorTid`, `done`: the donor's; `nudge`: counts slices, the lender's. */
export const GateWord = { lease: 0, borrower: 1, donorTid: 2, done: 3, stop: 4, nudge: 5 } as const;
export const GATE_WORDS_BYTES = 32;
/** Where in `words` the end of the lease stands, monotonic nanoseconds. */
export const LEASE_END_OFFSET = 24;
