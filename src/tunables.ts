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

export const CGROUP = {
  /** CFS bandwidth period: short enough that a throttled function answers within two of them. */
  quotaPeriodUs: 20_000,
  /** The kernel refuses quotas below 1 ms. */
  quotaMinUs: 1_000,
  /** How long a kill waits for a v1 group to be fully frozen before it signals anyway. */
  freezeWaitMs: 200,
  /** Only a process stuck in the kernel survives SIGKILL for this long. */
  killTimeoutMs: 10_000,
  /** First and longest pause between two looks at a dying group: v1 has no event for "empty". */
  pollMinMs: 1,
  pollMaxMs: 16,
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
  /** Beyond this the pipe is left full, and what the function prints waits in its own memory. */
  logBytesPerSecond: 2 * 1024 * 1024,
  stderrTailChars: 2_000,
  /** Frames that no correct runner sends, before the sandbox is ended. */
  strayFramesMax: 1_000,
} as const;
