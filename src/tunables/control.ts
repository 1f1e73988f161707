/** The control loop and the conflict manager. */

export const CONTROL = {
  /** The loop's period while functions run. A conflict is seen within one period. */
  periodUs: 1_000,
  /**
   * The loop's period while nothing is throttled and the packets of every NF beside which functions run ring by
   * themselves when they are late: looking more often would only cost. Waking is half of the price of a look.
   */
  calmPeriodUs: 2_000,
  /** And packets of such NFs are counted once in so many of those periods: a report is 2 KB. */
  calmReportTicks: 3,
  /** The loop's period while no function can run: costs nothing, still notices a restarted NF in time. */
  idlePeriodMs: 20,
  /** FIFO priority of the control thread: above traffic generators, below the kernel's own threads. */
  fifoPriority: 20,
  /** Window over which ratios are averaged: long enough that a 4 ms tick's rounding disappears. */
  ratioWindowMs: 100,
  /** Packet latency is reported over the last second, in ten parts. */
  reportHz: 10,
  latencyParts: 10,
  /** NF threads that carry no packets are read once in so many ticks: an NF may have dozens of them. */
  otherThreadsTicks: 64,
  /** One of the four sensors before an NF (core, interfaces, sockets, memory) is read once in so many ticks. */
  queueTicks: 25,
} as const;

export const CONFLICT = {
  /** Ticks over which packets are judged: 20 ms holds 1,000 packets of a 50,000 packets/s NF. */
  windowTicks: 20,
  /** Packets above the SLO that it takes at least: one stray packet is not a conflict. */
  aboveMin: 3,
  /**
   * Rare and slow packets are judged over 3 s in parts of 100 ms: three late ones in a row (not further apart than 10 s
   * each), three that make the p99 of those seconds, or two while it has been above the SLO for 2 s.
   */
  lastingParts: 30,
  lastingPartTicks: 100,
  lastingTicks: 2_000,
  lastingForgetTicks: 10_000,
  /** Without a packet for so long (or four times as long as between the last two) the NF's traffic has ended. */
  lastingQuietTicks: 200,
  /** A packet may be late for a function that ran so many ticks before. */
  lastingRanTicks: 100,
  /** A question that is not answered counts as one late packet each time the SLO, and this, has passed. */
  overdueStepMs: 20,
  /** What is late so soon after its own quota stopped the NF is late for that: the usual period of quotas, and a half. */
  quotaExcuseMs: 150,
  /** Calm is believed after so many packets, or after `holdMaxMs`: without packets nothing shows that all is well. */
  holdPackets: 10,
  /** Share of packets above the SLO from which functions are frozen at once. */
  severeShare: 0.1,
  /** NF threads that wait longer than this share of the SLO for their core are a leading sign. */
  leadingWaitShare: 0.25,
  /** Drops and stalls before the NF that grow so many times faster than without functions are a leading sign. */
  leadingGrowth: 3,
  /** Weight of the newest look in what is usual without functions. */
  leadingWeight: 0.1,
  /** Datagrams that wait for the NF: a quarter of Linux's default receive buffer. Connections: half a short backlog. */
  leadingQueueBytes: 53_248,
  leadingConnections: 64,
  /** Levels taken at once when the SLO is broken. */
  brokenSteps: 2,
  /** With each broken SLO functions are off the core for this long at once: the NF empties its queue meanwhile. */
  pauseMs: 2,
  /** Calm asked for before the first step up: short, since most conflicts are one-off noise of the host. */
  holdMinMs: 5,
  holdMaxMs: 5_000,
  /** Trouble within this time of a step up doubles the hold. */
  relapseMs: 1_000,
  /** A function that used this share of what functions used lately is the culprit. */
  culpritShare: 0.6,
  /** Marks of counters younger than this say nothing: the kernel counts its own time at ticks of 4 ms. */
  countersMs: 20,
  /**
   * Below these rates of all functions of a core together a counter names nobody: a tenth of a core in the kernel, 20,000
   * faults (80 MB of fresh pages), 256 MB of memory taken a second. A warm JavaScript function stays below a tenth of them.
   */
  kernelLeastRatio: 0.1,
  faultsLeastPerS: 20_000,
  growthLeastBytesPerS: 256 * 1024 * 1024,
  /** First freeze of a culprit alone; doubled for each recent blame. */
  culpritHoldMs: 10,
  /** What placement remembers of a culprit halves in this time; below the least it is forgiven. */
  blameHalfLifeMs: 10_000,
  blameLeast: 0.05,
  /** A culprit starts no call on the core of the conflict for so many times as long as it was frozen there. */
  awayPerHold: 2,
  /** The loop waking later than this means that the host stood still: its p99 is below 0.1 ms. */
  hostLateUs: 1_500,
  /** Host stalls are excused once in so long. */
  hostExcuseGapMs: 20,
  /** Longest freeze: then functions go to a housekeeping core, so that no accepted call waits without end. */
  frozenMaxMs: 250,
  /**
   * An NF that uses this share of its core leaves nothing to functions: those that wait go elsewhere. Its time is told in
   * ticks of the kernel of 4 ms, which is 4 % of the window over which shares are taken.
   */
  saturatedRatio: 0.95,
  /** Windows without functions that it takes to acquit them: 160 ms. */
  evidenceWindows: 8,
  /** Packets that a window holds at least to be counted; it waits for them so many ticks, then a few are enough. */
  evidencePackets: 20,
  evidenceTicksMax: 1_000,
  evidencePacketsFew: 3,
  /** Functions are acquitted if packets are late without them at least this many times as much as with them. */
  acquittedShare: 0.8,
  /** What is kept of the evidence from one window to the next: it halves in 20 s. */
  evidenceKept: 0.9993,
} as const;
