/** What is told to those who watch: feed, logs, traces. */

export const FEED = {
  hz: 10,
  /** A reader with more than this unsent loses frames. */
  backlogMaxBytes: 1024 * 1024,
  eventsKept: 1_000,
  /** Sandboxes' memory and CPU are read this often while somebody looks. */
  usagePeriodMs: 1_000,
} as const;

export const FEED_SERVER = {
  /** A reader that does not answer a ping until the next one is gone. */
  pingPeriodMs: 10_000,
  readersMax: 100,
  /** Unsent to all of them together; above it, who has most is cut off. */
  backlogsMaxBytes: 256 * 1024 * 1024,
  /** What a reader, who has nothing to say, may say between two pings: messages, pings, pongs. */
  heardMax: 8,
  /** Events in the first frame that a reader gets. */
  firstEvents: 100,
} as const;

export const METRICS = {
  /** Of so many functions series are written in one go, which takes a few milliseconds; then the thread has so many times as
   * long for others. */
  functionsAtOnce: 200,
  restTimes: 9,
} as const;

export const LOGS = {
  linesPerFunction: 1_000,
  /** Longer lines are cut: one line cannot push all others out. */
  lineMaxChars: 8_192,
  charsPerFunction: 1024 * 1024,
  /** Of all functions together, and what a line costs beside its characters. */
  allMaxBytes: 128 * 1024 * 1024,
  lineBytes: 160,
  /** Of that, what is given up at once when it is full: each time, all functions are looked at. */
  trimRatio: 1 / 16,
} as const;

export const TRACE = {
  callsPerFunction: 256,
  /** Of all functions together: some 500 bytes each. */
  callsMax: 131_072,
  /** Of that, what is given up at once when it is full. */
  trimRatio: 1 / 16,
  /** CPU time and memory of one call in so long, a function: each look costs some 50 us. */
  detailPeriodMs: 100,
  /** Of the calls whose caller does not trace: a box may serve ten thousand a second. */
  otlpSampleRatio: 0.01,
} as const;
