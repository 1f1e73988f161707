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
  /** Packet latency is reported over the last second, in ten parts. */
  reportHz: 10,
  latencyParts: 10,
  /** NF threads that carry no packets are read once in so many ticks: an NF may have dozens of them. */
  otherThreadsTicks: 16,
  /** One of the four sensors before an NF (core, interfaces, sockets, memory) is read once in so many ticks. */
  queueTicks: 25,
} as const;

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

export const POOL = {
  /** Stems kept ready. */
  stems: 2,
  /** Warm sandboxes kept for a function that has none running: a start then costs no load. */
  warmPerFunction: 1,
  /** An unused warm sandbox beyond `warmPerFunction` ends after this. */
  keepAliveMs: 60_000,
  /** What a start is taken to cost before the first was seen. */
  startFirstMs: 100,
  /** What a sandbox really takes of the host's memory, about: its limit is an upper bound. */
  residentBytes: 48 * 1024 * 1024,
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
  /** And the bytes of their bodies. */
  queueMaxBytes: 128 * 1024 * 1024,
} as const;

export const FEED = {
  hz: 10,
  /** A reader with more than this unsent loses frames. */
  backlogMaxBytes: 1024 * 1024,
  eventsKept: 1_000,
  /** Sandboxes' memory and CPU are read this often while somebody looks. */
  usagePeriodMs: 1_000,
} as const;

export const DISCOVERY = {
  /** An NF that starts, dies or restarts is noticed within a second. */
  periodMs: 500,
} as const;

/** The reference NFs' process. */
export const NF_RUNTIME = {
  /** A ring: 2,048 frames are 40 ms at 50,000 packets/s, longer than any scheduling delay worth surviving. */
  ringSlots: 2_048,
  /** A 1,600 byte packet, its header, and room for a tunnel's. */
  slotBytes: 2_048,
  /** Rounds with packets between two looks at what the receive rings had no room for. */
  roundsPerMissed: 256,
  /** Empty rounds in poll mode before the NF asks whether its interfaces are still there: some milliseconds. */
  spinsPerLook: 100_000,
  /** poll()'s limit in sleep mode; errors and frames wake it sooner. */
  sleepMaxMs: 1_000,
  /** poll()'s limit while the kernel has not taken all frames to be sent. */
  retryMs: 1,
} as const;

export const CGROUP = {
  /** CFS bandwidth period: short enough that a throttled function answers within two of them. */
  quotaPeriodUs: 20_000,
  /** The kernel refuses quotas below 1 ms. */
  quotaMinUs: 1_000,
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

export const CONFLICT = {
  /** Ticks over which packets are judged: 20 ms holds 1,000 packets of a 50,000 packets/s NF. */
  windowTicks: 20,
  /** Packets above the SLO that it takes at least: one stray packet is not a conflict. */
  aboveMin: 3,
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
  /** Calm asked for before the first step up: short, since most conflicts are one-off noise of the host. */
  holdMinMs: 5,
  holdMaxMs: 5_000,
  /** Trouble within this time of a step up doubles the hold. */
  relapseMs: 1_000,
  /** A function that used this share of what functions used lately is the culprit. */
  culpritShare: 0.6,
  /** First freeze of a culprit alone; doubled for each recent blame. */
  culpritHoldMs: 10,
  /** The loop waking later than this means that the host stood still: its p99 is below 0.1 ms. */
  hostLateUs: 1_500,
  /** Host stalls are excused once in so long. */
  hostExcuseGapMs: 20,
  /** Longest freeze: then functions go to a housekeeping core, so that no accepted call waits without end. */
  frozenMaxMs: 250,
} as const;

export const DISPATCH = {
  /** Timeouts, keep-alive and prewarming are looked at this often. */
  sweepMs: 50,
  /** Latency of functions is reported over the last 10 seconds, in as many parts. */
  latencyParts: 10,
  /** A call that found no place for this long is answered OVERLOADED. */
  queueWaitMaxMs: 60_000,
  /** Weight of the newest call in the mean length of a function's calls. */
  meanWeight: 0.2,
  /** What it is taken for before the first call ended. */
  meanFirstMs: 1,
  /** Times that starting a sandbox is tried for waiting calls before they fail. */
  startAttempts: 3,
  /** Wait before loading code again that failed to load, doubled each time up to the maximum. */
  loadBackoffMs: 1_000,
  loadBackoffMaxMs: 60_000,
  /** Wait before another sandbox is tried for waiting calls after the box had no room for one. */
  growBackoffMs: 200,
} as const;

export const NF = {
  /** What was found out about a process is looked at again after this many scans: it may have changed its arguments. */
  recheckScans: 20,
  /** The nice value that protects an NF's packet threads where the kernel refuses FIFO. */
  fallbackNice: -15,
  /** The control loop looks once in so many ticks for the report of an NF that has not made one yet. */
  reportRetryTicks: 1_000,
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
  portsMax: 64,
  /** A hundred ports of 100 Gbit/s with the smallest packets: more is a lie. */
  packetsPerSMax: 2e10,
  /** An NF that answers nothing, or nonsense, is asked again after the period, doubled each time up to this. */
  backoffMaxMs: 60_000,
} as const;

/** The traffic process of test beds and benchmarks. */
export const TRAFFIC = {
  /** The generator wakes at most this often: sleeping shorter would cost more than the packets. */
  microBatchUs: 100,
  /** A packet due longer ago than this is not sent any more: after a stall, no flood. */
  lateMaxMs: 5,
  /** Below the control thread's 20, above everybody who shares the housekeeping core by turns. */
  generatorFifoPriority: 10,
  /** Below the generator's. A receiver that waits for a busy gateway would lose what the NF did not. */
  receiverFifoPriority: 5,
  /** Above all threads of ours: if this one wakes late, it was not us. */
  noiseFifoPriority: 30,
  noisePeriodUs: 1_000,
  txSlots: 1_024,
  /** 8,192 frames are 160 ms at 50,000 packets/s: the receiver may be kept waiting by a busy gateway. */
  rxSlots: 8_192,
  slotBytes: 2_048,
  /** The longest frame with its stamp: an MTU of 1,600 and the Ethernet header. */
  frameMaxBytes: 1_614,
  /** The receiver lets packets gather this long after the first. */
  gatherUs: 2_000,
  /** What has not arrived this long after its window counts as lost. */
  drainMs: 200,
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

export const GATEWAY_HTTP = {
  /** A client gets this long for its request line and headers: ends slow-header attacks. */
  headersTimeoutMs: 10_000,
  /** And this long for the whole request: 6 MB at 50 KB/s. */
  requestTimeoutMs: 120_000,
  /** Node's default; larger header blocks are refused with 431. */
  headersMaxBytes: 16 * 1024,
  /** A deploy carries the whole bundle as a JSON string. */
  deployMaxBytes: 16 * 1024 * 1024,
  /** Above this, unsent to one client, a source that can wait should. */
  backlogPauseBytes: 1024 * 1024,
  /** Above this the client is cut off: it does not read, and the agent's memory is for functions. */
  backlogMaxBytes: 16 * 1024 * 1024,
  /** What a refused upload may still send before its connection is cut. */
  refusedUploadMaxBytes: 64 * 1024 * 1024,
  /** Calls in flight may end this long after close() began. */
  closeGraceMs: 5_000,
  retryAfterS: 1,
} as const;

export const FEED_SERVER = {
  /** A reader that does not answer a ping until the next one is gone. */
  pingPeriodMs: 10_000,
  readersMax: 100,
  /** Events in the first frame that a reader gets. */
  firstEvents: 100,
} as const;

export const LOGS = {
  linesPerFunction: 1_000,
  /** Longer lines are cut: one line cannot push all others out. */
  lineMaxChars: 8_192,
  charsPerFunction: 1024 * 1024,
} as const;

export const TRACE = {
  callsPerFunction: 256,
  /** CPU time and memory of one call in so long, a function: each look costs some 50 us. */
  detailPeriodMs: 100,
  /** Of the calls whose caller does not trace: a box may serve ten thousand a second. */
  otlpSampleRatio: 0.01,
} as const;

export const EGRESS = {
  attachTimeoutMs: 5_000,
  connectTimeoutMs: 10_000,
  /** Connections of one sandbox to one port: beyond it they are refused. */
  connectionsPerPort: 64,
} as const;

export const QUEUE = {
  parallel: 4,
  /** How long one read waits for an entry; bounds how late claims and removals are noticed. */
  blockMs: 1_000,
  /** Without a function, or after an error. */
  pauseMs: 500,
  retryMaxMs: 2_000,
  /** An entry that nobody finished is taken over this long after its function's own time limit. */
  claimAfterMs: 10_000,
  claimPeriodMs: 5_000,
  /** An entry that failed so often goes to the dead ones. */
  deliveriesMax: 3,
  /** After the first failure; twice that after the second. */
  againAfterMs: 1_000,
  /** Entries left by an agent that ended, looked up at a start. */
  ownMax: 10_000,
  closeMaxMs: 5_000,
} as const;

export const FUNCTION_LIMITS = {
  /** A JavaScript runtime does not start below this. */
  memoryMinBytes: 32 * 1024 * 1024,
  timeoutMinMs: 1,
  /** As AWS Lambda. */
  timeoutMaxMs: 15 * 60_000,
  concurrencyMax: 1_000,
  /** Names and values together: a process's environment is bounded by the kernel too. */
  envMaxBytes: 64 * 1024,
  /** A replaced bundle stays this long: a sandbox may be loading it just now. */
  bundleGraceMs: 60_000,
} as const;

export const SANDBOX = {
  /** A stem on a busy NF core starts at SCHED_IDLE: seconds are normal there, half a minute is a fault. */
  startTimeoutMs: 30_000,
  /** Loading code may take at least this long, whatever the timeout of its calls. */
  loadTimeoutMs: 10_000,
  /** Users of sandboxes: one each, from a range that distributions leave free. */
  firstUid: 64_000,
  uidCount: 1_000,
  /** Private /tmp; its pages also count against the sandbox's memory. */
  tmpMaxBytes: 16 * 1024 * 1024,
  openFilesMax: 1_024,
  /** One core, so one thread for V8's background work; small young generation, so small resident size. */
  nodeFlags: ['--v8-pool-size=1', '--max-semi-space-size=8', '--no-deprecation'],
  logLineMaxChars: 8_192,
  logLinesPerSecond: 2_000,
  /** Beyond this the pipe is left full and the function waits in its own print. */
  logBytesPerSecond: 2 * 1024 * 1024,
  stderrTailChars: 2_000,
  /** Frames that no correct runner sends, before the sandbox is ended. */
  strayFramesMax: 1_000,
} as const;

/** Worker threads as sandboxes: engines `isolate` and `wasm`. */
export const ISOLATE = {
  /** Users of their processes: one each, below the range of process sandboxes. */
  firstUid: 63_000,
  uidCount: 900,
  /**
   * No helper threads, so that a sandbox's garbage is collected on its own thread and its own account; small heaps;
   * modules come from memory; the runner collects once what starting left behind.
   */
  nodeFlags: [
    '--single-threaded',
    '--v8-pool-size=1',
    '--optimize-for-size',
    '--no-node-snapshot',
    '--experimental-vm-modules',
    '--expose-gc',
    '--no-warnings',
  ],
  /** Of a thread; V8 takes it as reserved, not as used. */
  stackMb: 1,
  youngMb: 1,
  openFilesMax: 4_096,
  /** Memory of a process without its sandboxes, and of each stem in it. */
  hostBytes: 96 * 1024 * 1024,
  stemBytes: 16 * 1024 * 1024,
  /** Threads that a process may have beside its sandboxes: node's own and a sandbox's pool for asynchronous zlib and crypto. */
  hostThreads: 32,
  /** A thread that was told to end and did not is ended with its process after this. */
  endPatienceMs: 2_000,
  /** Meanwhile whatever holds it back is lifted this often. */
  releasePeriodMs: 50,
  /** Connections that have not yet said for which sandbox they are. */
  unclaimedMax: 32,
  unclaimedMs: 10_000,
} as const;

/** Engine `wasm`, beside what it has in common with `isolate`. */
export const WASM = {
  firstUid: 62_000,
  /** Looking at a module at deploy: compiling 8 MB of code takes some 100 MB. */
  checkMemoryBytes: 512 * 1024 * 1024,
  checkTimeoutMs: 20_000,
} as const;

export const OCI = {
  /** An image's layers together, unpacked; so that a small file cannot become a full disk. */
  imageMaxBytes: 2 * 1024 * 1024 * 1024,
  entriesMax: 200_000,
  layersMax: 100,
  /** 96 bits of a digest name a layer's directory. */
  layerNameChars: 24,
  /** Manifests and configs. */
  documentMaxBytes: 4 * 1024 * 1024,
  indexDepthMax: 3,
  /** One request to a registry, a whole layer included. */
  fetchTimeoutMs: 600_000,
  /** Users of containers: beside those of the other engines. */
  firstUid: 61_000,
  tmpFilesMax: 10_000,
  /** A server that has just started is asked this often whether it listens. */
  acceptPollMs: 2,
  connectWaitMs: 2,
  keepAliveMs: 600_000,
  /** How long the end of a process may take to be known after its connection broke. */
  lastWordsMs: 600,
  /** Layers that no function has named for so long are removed. */
  unusedLayerMs: 3_600_000,
} as const;

export const ENGINES = {
  /** Whether an engine works here is looked at again after this: a check may start a process. */
  checkKeptMs: 10_000,
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
