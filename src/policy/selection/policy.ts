/** Which of a function's sandboxes takes a call. Pure, and on the path of every call: no allocation. */

export interface SelectionCandidate {
  readonly core: number;
  readonly lastUsedMs: number;
  /** Calls that it has. */
  readonly load: number;
}

export interface SelectionBox {
  /** The core that placement chose: a sandbox that is elsewhere has to be moved there. */
  readonly core: number;
  spareRatio(core: number): number;
}

export interface SelectionPolicy {
  readonly name: string;
  /** Called for each pair of candidates in turn. True if `a` should rather take the call than `b`. */
  better(a: SelectionCandidate, b: SelectionCandidate, box: SelectionBox): boolean;
}
