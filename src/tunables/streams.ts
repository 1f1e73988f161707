/** What others than the agent write to the agent: how much of it, and how fast, it reads. */

/** A sandbox's socket. */
export const CHANNEL = {
  /**
   * A frame costs a token, about 5 us of the thread that serves all, a read costs four. 20,000 are a tenth of that
   * thread, and let a stream of 16 KiB chunks have 64 MB/s, one of 256 KiB chunks 300 MB/s.
   */
  tokensPerSecond: 20_000,
  tokensPerRead: 4,
  /** What a call may cost beyond that: its read and its frames, and what the runner says beside. */
  tokensPerCall: 12,
  /** A frame of no call: text that a function printed, what a stem tells of its packages. */
  controlMaxBytes: 512 * 1024,
  /** Frames that no correct runner sends, before the sandbox is ended. */
  strayFramesMax: 64,
  /** Chunks that a reader has not taken: each costs some hundred bytes, however short it is. */
  unreadChunksMax: 1_024,
  /** Headers of one answer, and their names and values together. */
  headersMax: 200,
  headersMaxBytes: 64 * 1024,
  /**
   * Of an error its name, its message and the start of its stack are kept; and of what a frame tells, be it an error or a head,
   * so many values are read: 256 KiB of brackets would take the parser 20 ms.
   */
  errorMaxBytes: 64 * 1024,
  told: { depthMax: 1, valuesMax: 256 },
  /** Of what a runner says of itself when it is there: a stem names files that its packages read. */
  hello: { depthMax: 4, valuesMax: 4_096 },
} as const;

/** What a sandbox prints. */
export const LOG = {
  lineMaxBytes: 8_192,
  linesPerSecond: 2_000,
  /** Beyond this the pipe is left full and the function waits in its own print: a token a line, and ... */
  tokensPerSecond: 20_000,
  tokensPerRead: 10,
  /** ... a token for so many bytes: 2 MB a second. */
  bytesPerToken: 100,
  stderrTailChars: 2_000,
  /** A line without an end is told when nothing has followed it for this long. */
  openLineMs: 1_000,
} as const;

/** Programs that speak in lines: the main thread of a process of isolates, QEMU. */
export const CONTROL_LINE = {
  hostMaxBytes: 1_000,
  /** QEMU's longest answer, of the commands that are used, is below 4 KiB. */
  qemuMaxBytes: 64 * 1024,
  tokensPerSecond: 1_000,
  json: { depthMax: 16, valuesMax: 4_096 },
  /** Lines without a meaning, before the program is ended. */
  straysMax: 16,
} as const;

/** Programs of this machine that are run to their end, whose output is shown or read. */
export const OUTPUT = {
  maxChars: 4 * 1024 * 1024,
  complaintMaxChars: 4_000,
} as const;

/** A connection to a Redis server. */
export const REDIS = {
  /** Without a byte for this long after a question, a connection is made anew. */
  answerMaxMs: 5_000,
  keepAliveMs: 10_000,
  /** A connection on which Redis did not take the subscriptions is made anew after that. */
  watchAgainMs: 1_000,
  /**
   * Longer than what is asked for: a value of the store has 8 MiB, entries of a queue 16 MiB, and a look at names half a
   * million values at most.
   */
  reply: { maxBytes: 32 * 1024 * 1024, valuesMax: 512 * 1024, depthMax: 8, lineMaxBytes: 64 * 1024 },
} as const;
