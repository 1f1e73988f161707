/** The kernel's face. */

export const CGROUP = {
  /** CFS bandwidth period: short enough that a throttled function answers within two of them. */
  quotaPeriodUs: 20_000,
  /** The kernel refuses quotas below 1 ms. */
  quotaMinUs: 1_000,
  /** v1: of a group's memory, so much again may wait in its sockets; and of what the box may have there, all groups together. */
  socketRatio: 1 / 8,
  socketBoxRatio: 1 / 2,
  /** How long a kill waits for a v1 group to be fully frozen before it signals anyway. */
  freezeWaitMs: 200,
  /** Only a process stuck in the kernel survives SIGKILL for this long. */
  killTimeoutMs: 10_000,
  /** A kill that lasts longer is starved of CPU: its threads get default scheduling to die with. */
  killPatienceMs: 200,
  /** First and longest pause between two looks at a dying group: v1 has no event for "empty". */
  pollMinMs: 1,
  pollMaxMs: 16,
} as const;

/** Locks between agents of one box: each is held for a file's reading and writing. */
export const LOCK = {
  pollMs: 2,
  waitMaxMs: 2_000,
} as const;

export const SOCKETS = {
  /** A connection that is over is reset when its peer has taken nothing of what is left for so long, looked at so often. */
  untakenMs: 10_000,
  untakenLookMs: 250,
} as const;
