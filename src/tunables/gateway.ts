/** The HTTP side. */

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
  /** And of all that waits for all functions together. */
  queuesMaxBytes: 256 * 1024 * 1024,
  /** Connections at once, to each port; and from one address, to all of them. */
  connectionsMax: 4_096,
  connectionsPerAddressMax: 1_024,
  /** Longer than balancers keep an idle connection (60 s), so that they close it and never use one that is closing. */
  keepAliveTimeoutMs: 75_000,
} as const;

export const GATEWAY_HTTP = {
  /** A client gets this long for its request line and headers: ends slow-header attacks. */
  headersTimeoutMs: 10_000,
  /** And this long for the whole request: 6 MB at 50 KB/s. */
  requestTimeoutMs: 120_000,
  keepAliveTimeoutMs: GATEWAY.keepAliveTimeoutMs,
  /** Node's default; larger header blocks are refused with 431. */
  headersMaxBytes: 16 * 1024,
  /** Requests of one connection that wait for an answer: more is a flood, of which nobody reads the answers. */
  pipelinedMax: 64,
  /** Such a request with more than this in its headers counts for several. */
  pipelinedHeadBytes: 1024,
  /** Bodies of all requests that are not answered yet. */
  bodiesMaxBytes: 256 * 1024 * 1024,
  /** A deploy carries the whole bundle as a JSON string. */
  deployMaxBytes: 16 * 1024 * 1024,
  /** And has a few thousand values beside: names of files of packages, an environment. */
  json: { depthMax: 32, valuesMax: 50_000 },
  /** Of an answer, the kernel takes so much more than its client does; the rest waits here. */
  kernelUnsentBytes: 256 * 1024,
  /** Connections that are over while their clients have not taken all: no connections of anybody, and memory all the same. */
  untakenMax: 1_024,
  /** A body that is JSON counts so many times more: as text, of which a character may take two bytes, and as what it says. */
  jsonCopies: 3,
  /** Above this, unsent to one client, a source that can wait should. */
  backlogPauseBytes: 1024 * 1024,
  /** Above this the client of a stream is cut off: it does not read, and the agent's memory is for functions. */
  backlogMaxBytes: 16 * 1024 * 1024,
  /** Unsent to all clients together; when there is more, who has too much or waits for longest is cut off. */
  backlogsMaxBytes: 256 * 1024 * 1024,
  /** Unsent on one connection, this little does not count. */
  backlogSmallBytes: 64 * 1024,
  /** Who closes its sending side so soon after a request waits for its answer; later it may have left. Less than any time
   * that callers set themselves: `curl -m 1` leaves a little before its second is over. */
  halfCloseMs: 500,
  /** Who did is asked whether it is there: again so soon, because only the second question shows that the first was refused. */
  probeAgainMs: 250,
  /** And from then on so often. */
  probeEveryMs: 10_000,
  /** A client that takes nothing of its answer for so long is cut off. */
  answerStallMs: 60_000,
  /** A page that was granted the use of the API need not ask again for so long. */
  grantMaxAgeS: 600,
  /** What a refused upload may still send before its connection is cut. */
  refusedUploadMaxBytes: 64 * 1024 * 1024,
  /** Calls in flight may end this long after close() began. */
  closeGraceMs: 5_000,
  /** Answers that follow what functions print, at once. */
  logFollowersMax: 200,
  /** Lines that follow one another so closely are sent together, so much of them at most: 20 times a second, to each. */
  logBatchMs: 50,
  logBatchChars: 64 * 1024,
  retryAfterS: 1,
} as const;
