/** The throttle levels: what each takes from functions. When a core moves between them is a ladder rule's to say. */

export interface ThrottleLevel {
  readonly name: string;
  /** Factor on the calls that may run at once; the result is rounded up, 0 stops new calls. */
  readonly runningFactor: number;
  /** Cap on a sandbox's share of the core; null = none. */
  readonly quotaRatio: number | null;
  readonly frozen: boolean;
  /** Functions leave the core for a housekeeping core. */
  readonly offCore: boolean;
  /** New sandboxes may be prewarmed on the core. */
  readonly prewarm: boolean;
}

export const LADDER: readonly ThrottleLevel[] = [
  { name: 'full', runningFactor: 1, quotaRatio: null, frozen: false, offCore: false, prewarm: true },
  { name: 'narrow', runningFactor: 0.5, quotaRatio: null, frozen: false, offCore: false, prewarm: false },
  { name: 'half', runningFactor: 0.5, quotaRatio: 0.5, frozen: false, offCore: false, prewarm: false },
  { name: 'fifth', runningFactor: 0.5, quotaRatio: 0.2, frozen: false, offCore: false, prewarm: false },
  { name: 'frozen', runningFactor: 0, quotaRatio: 0.2, frozen: true, offCore: false, prewarm: false },
  { name: 'off', runningFactor: 0, quotaRatio: 0.2, frozen: false, offCore: true, prewarm: false },
];

export const FROZEN = LADDER.findIndex((level) => level.name === 'frozen');
export const OFF = LADDER.length - 1;
