/** What is lent of a core: turns, slices, predictions of spare time. */

export const HARVEST = {
  /** Calls that run at once on an NF core: one keeps the NF's caches warm and latency predictable. */
  runningPerCore: 1,
  /** Calls sent to a sandbox ahead of time, so that the core does not idle for a socket's round trip. */
  sendAhead: 1,
  /** A call that has held its place longer than this no longer keeps others off the core: long calls share. */
  quantumMs: 20,
  /** Most calls that share one NF core in this way. */
  sharingMax: 8,
  /** Policies `quota` and `static`: the functions' part of a core, an even split as an operator would begin with. */
  staticRatio: 0.5,
  /** Policy `static`: one turn of the NF alone and of functions beside it. Both are long against the loop's 1 ms. */
  sharePeriodMs: 20,
  /** Idle windows kept for their quantiles. */
  idleWindowSamples: 512,
} as const;

/** Processes on a function core that are neither NFs nor functions. */
export const OTHERS = {
  /** Shares are taken over so long: the kernel tells them in hundredths of a second. */
  windowMs: 500,
  /** Less than this share is noise of the two ways in which time is counted. */
  least: 0.05,
  /** NF and others together take all of a core, others a good part of it: it is left after so many windows. */
  takenRatio: 0.9,
  takenLeast: 0.3,
  takenWindows: 2,
  /** And used again after so many in which there is something left. */
  leftRatio: 0.75,
  leftWindows: 4,
  /** Who it is that has a core is looked up again this often. */
  nameMs: 5_000,
  /** Of sandboxes without a call, those that use more than this share of a core are judged as functions that run. */
  restlessRatio: 0.01,
} as const;

/** The slice gate, which lends the core of a polling NF. */
export const GATE = {
  /** Above the traffic generator and the control loop of a test bed: a slice must end in time. */
  fifoPriority: 22,
  /** What a function's thread inherits in a slice; below the gate's own. */
  loanPriority: 21,
  /** The kernel ends a loan after this, whatever becomes of the gate: the NF is promised its core within 10 ms. */
  leaseMs: 8,
  /** Nothing is lent so shortly before the end of a lease. */
  leaseMarginUs: 200,
  /** How much longer than asked the NF is away, at first, and how fast what is measured replaces it. */
  overshootUs: 30,
  overshootWeight: 0.02,
  overshootMaxUs: 60,
  /** And what the gate cannot see of it: the way from the timer to its thread and back to the NF's. */
  switchUs: 15,
  /** Share of the SLO that the NF may be away: its own latency and noise need the rest. */
  sloShare: 0.75,
  /** Below this, changing over costs more than is lent. */
  sliceMinUs: 15,
  sliceMaxUs: 120,
  /** Between slices the NF empties what has gathered: at least so long, and at least this share of its absence. */
  gapMinUs: 60,
  gapShare: 0.4,
  /** Packets that may gather in one slice: half of a small NIC ring would be lost soon after. */
  backlogMax: 64,
  /** A burst: this many times the packets of lately in one step, and at least so many. Nothing is lent then. */
  burstFactor: 3,
  burstMin: 50,
  /** Weight of the newest step in what is taken for the rate of lately. */
  rateWeight: 0.05,
  /** Growth of a slice in each calm step of the policy. */
  growUs: 2,
  /** The policy looks this often at rates and at the throttle level. */
  stepUs: 1_000,
  /** After a retreat nothing is lent for this long. */
  retreatMs: 5,
  /** The reported p99 is looked at this often: it covers a second. */
  reviewMs: 250,
  /** Above this share of the SLO slices shrink by `shrink`, below the other they grow again. */
  p99HighShare: 0.9,
  p99LowShare: 0.75,
  shrink: 0.8,
  /** While nobody wants the core, somebody looks for threads that do this often. */
  idleMs: 1,
  /** How often, and with what pauses, the gate looks whether the donor sleeps. */
  armLookUs: 40,
  /** CPU time that a sandbox on a gated core gets outside of slices: the least that the kernel takes. */
  leashQuotaUs: 1_000,
  leashPeriodUs: 1_000_000,
} as const;

export const PREDICTION = {
  /** Ticks of the loop a period: spare time of the next 1, 10, 100 and 1,000 ms is predicted. */
  horizonTicks: [1, 10, 100, 1_000],
  /** The horizon that placement and prewarming go by: 10 ms, about a function's run. */
  placementHorizon: 1,
  /** Memory of the mean and the deviation of the quantile predictor. */
  ewmaWeight: 0.05,
  /** Its step, as a share of the mean deviation; never below that of a deviation of `deviationMin`. */
  stepShare: 0.25,
  deviationMin: 0.005,
  /** What the histogram forgets with each observation. */
  histogramForget: 0.01,
  /** Weight of the newest period in a predictor's score. */
  scoreWeight: 0.05,
} as const;
