/** NFs: how they are found, measured and asked. */

export const DISCOVERY = {
  /** An NF that starts, dies or restarts is noticed within a second. */
  periodMs: 500,
  /** Between two scans the thread is left alone for at least so many times as long as one took. */
  restTimes: 9,
} as const;

export const NF = {
  /** `oom_score_adj` of a guarded NF: nearly all others go first. No round number, so that nobody else uses it. */
  oomScoreAdj: -917,
  /** Most of the box's memory that all guarded NFs together keep from reclaim (`memory.min`). */
  memoryMinShare: 0.5,
  /** An NF that uses more than this many times what it keeps gets more. */
  memoryMinGrowth: 1.25,
  /** What was found out about a process is looked at again after this many scans: it may have changed its arguments. */
  recheckScans: 20,
  /** Kinds of processes that look like NFs but are not believed, of which an agent tells. */
  refusalsToldMax: 16,
  /** The nice value that protects an NF's packet threads where the kernel refuses FIFO. */
  fallbackNice: -15,
  /**
   * Real-time threads that use more than 0.95 s of a second of their core are stopped for the rest of it by the kernel
   * (sched_rt_runtime_us), or for 50 ms by its fair server if anybody waits. Above the first of these shares of the
   * last second a thread goes on at the nice value instead; below the second it is real-time again.
   */
  realTimeMost: 0.8,
  realTimeAgain: 0.7,
  realTimeParts: 10,
  /** The control loop looks once in so many ticks for the report of an NF that has not made one yet. */
  reportRetryTicks: 1_000,
  /** An NF's group weighs at least so many times what the idle group of functions does, else its core is left alone. */
  weightTimesIdle: 10,
  /** A real-time budget may stop a thread for so long (what the kernel does to all), or be this share of a long period. */
  realTimeStopMaxUs: 60_000,
  realTimeBudgetLeast: 0.25,
  /** What a measurement lacks is said once it has lacked it for so long. */
  faultSaidMs: 1_500,
  /** What could not be started to measure an NF is tried again after this. */
  measureRetryMs: 2_000,
  /** Groups of NFs are read again so often: their owners change them. */
  standingMs: 5_000,
  /** An NF whose threads are this busy for this long without a packet is not seen by its latency source. */
  silentBusyRatio: 0.05,
  silentMs: 3_000,
  /** An NF's own control program (ovs-vsctl, ovs-appctl) that has not answered by then is given up. */
  askTimeoutS: 3,
  /** `nemo nf scan` looks so long whether threads poll: a hundred ticks of the kernel. */
  scanMs: 400,
  /** Softirq time comes from /proc/stat, which counts in 1/100 s: it is read once in so many ticks. */
  softirqTicks: 10,
} as const;

export const TAP = {
  /** Packets/s measured: enough for a p99 each 100 ms, cheap enough: see bench/tap. */
  samplesPerS: 4_000,
  /** A packet not seen again after this is taken as lost (or as dropped by the NF on purpose). */
  expiryNs: 1_000_000_000,
  /** Packets under way at once; a power of two. */
  tableEntries: 8_192,
  /** 1 MB: cycling through a larger ring misses the cache at each packet. 128 ms of measured packets. */
  ringSlots: 512,
  slotBytes: 2_048,
  /** So many packets that pass in so many looks (a second each) without one recognised: the tap sees nothing. */
  blindPackets: 20,
  blindLooks: 2,
  blindLooksProven: 5,
  provenPackets: 3,
  /** An interface that is not there is looked for this often. */
  retryMs: 500,
  /** Pause between two looks at the rings, each a wake-up; the times are the kernel's and do not depend on it. */
  pauseMs: 5,
} as const;

/** The latency source `probe`. */
export const PROBE = {
  /** Between two probes while functions run: four in the window in which conflicts are judged. */
  periodMs: 5,
  /** While none runs: enough for a figure to show. */
  idlePeriodMs: 100,
  /** A probe without an answer for this long counts with this latency, and as lost. */
  timeoutMs: 500,
  /** After a refused connection, or where nothing listens. */
  retryMs: 1_000,
  /** Above callers and the gateway, below the traffic generator: the probe's own waiting must not read as the NF's. */
  fifoPriority: 8,
  /** Longer heads of answers are no answers. */
  replyMaxBytes: 16 * 1024,
} as const;

/** What NFs tell of themselves: DPDK's telemetry socket, Open vSwitch's control socket. */
export const TELEMETRY = {
  /** Between two questions: the NF's own control thread answers, so not often. */
  periodMs: 500,
  /** One call on the socket, and all the calls of one answer. */
  callMaxMs: 300,
  answerMaxMs: 1_000,
  /** DPDK's own limit is 16 KB; Open vSwitch writes 1 KB a thread. */
  answerMaxBytes: 64 * 1024,
  json: { depthMax: 16, valuesMax: 16_384 },
  portsMax: 64,
  /** A hundred ports of 100 Gbit/s with the smallest packets: more is a lie. */
  packetsPerSMax: 2e10,
  /** An NF that answers nothing, or nonsense, is asked again after the period, doubled each time up to this. */
  backoffMaxMs: 60_000,
} as const;
