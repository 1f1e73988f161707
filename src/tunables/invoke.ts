/** Calls: limits of functions, queues, triggers, what functions may connect to. */

export const FUNCTION_LIMITS = {
  /** A JavaScript runtime does not start below this. */
  memoryMinBytes: 32 * 1024 * 1024,
  timeoutMinMs: 1,
  /** As AWS Lambda. */
  timeoutMaxMs: 15 * 60_000,
  concurrencyMax: 1_000,
  /** Names and values together: a process's environment is bounded by the kernel too. */
  envMaxBytes: 64 * 1024,
  /** Functions of the box, and what all that is known of them takes, environments too: the agent holds it in memory. */
  functionsMax: 10_000,
  specsMaxBytes: 64 * 1024 * 1024,
  /** What is known of one. */
  specMaxBytes: 1024 * 1024,
  /** Of what the store has and is no function, so much is named. */
  restoreWarningsMax: 32,
  /** Later as much in so long. */
  warningsEveryMs: 60_000,
  /** Names of functions that other boxes changed, until all are looked at instead; and the pause between two looks. */
  followedMax: 256,
  followPaceMs: 20,
  /** Deploys and removals that wait for the store; of one client half as many. */
  changesWaiting: 256,
  /** A replaced bundle stays this long: a sandbox may be loading it just now. */
  bundleGraceMs: 60_000,
} as const;

/** What is read of a store in which others write: a name, a value, all values of a table, and how many of them. */
export const STORE = {
  nameMaxBytes: 1_024,
  valueMaxBytes: 8 * 1024 * 1024,
  json: { depthMax: 32, valuesMax: 50_000 },
  listMaxBytes: 128 * 1024 * 1024,
  listMax: 50_000,
  /** Names that Redis looks at in one step. */
  scanCount: 256,
} as const;

/** What one box at a time may do with a store that boxes share. */
export const LEASE = {
  /** One whose holder died is free after that. */
  forMs: 10_000,
  /** A lease that would last longer is nobody's. */
  longestMs: 10 * 60_000,
  /** For others to end: longer than the lease of one that died. */
  waitMaxMs: 20_000,
  againMs: 50,
} as const;

/** Code of functions in a store that boxes share. */
export const BLOCKS = {
  partBytes: 512 * 1024,
  /** What is larger stays on its box: Redis holds all of it in memory. */
  sharedMaxBytes: 16 * 1024 * 1024,
} as const;

/** Packages kept apart from functions. */
export const PACKAGES = {
  perFunctionMax: 64,
  /** Files of all packages of a deploy: shiki, which loads each of its languages when it is used, has 389. */
  filesMax: 5_000,
  /** Written or linked before others get a turn. */
  filesAtOnce: 32,
  /** Of all sandboxes together, below the run directory, which is memory: files, links to them, and bytes of files. */
  shelfEntriesMax: 200_000,
  shelfMaxBytes: 256 * 1024 * 1024,
  /** A smaller one loads in the time that looking for it takes. */
  bytesMin: 16 * 1024,
  /** A plan of stems takes some 3 us for each package of each function: the thread is left alone for ten times as long. */
  planRestMs: 0.03,
  /** Kept apart, a package is whole; a bundle has only what is used of it. */
  usedRatioMin: 0.5,
  /** What loading is taken to cost until a stem has done it, a KiB of code. */
  importMsPerKib: 0.1,
  /** Of memory, a byte of code. */
  heldPerByte: 10,
  /** What a stem may say that its packages cost at most, and how much more than their size tells. */
  importMaxMs: 2_000,
  toldMaxRatio: 10,
  heldMaxBytes: 256 * 1024 * 1024,
  /** Before packages that failed in a stem are tried again, doubled each time up to the maximum. */
  refusedMs: 60_000,
  refusedMaxMs: 3_600_000,
} as const;

export const DISPATCH = {
  /** Keep-alive and prewarming are looked at this often at most. */
  sweepMs: 50,
  /** Code that takes longer to load ahead of calls goes on loading beside the next sandbox that is made. */
  loadPatienceMs: 2_000,
  /** Stems that nobody wants any more are looked for this often. */
  stemsLookMs: 1_000,
  /** Whether the control loop may slow down is looked at this often. */
  relaxMs: 50,
  /** Latencies are kept in parts of so much; memory and locks are looked at as often. */
  windowMs: 1_000,
  /** Latency of functions is reported over the last 10 seconds, in as many parts. */
  latencyParts: 10,
  /** A call that found no place for this long is answered OVERLOADED. */
  queueWaitMaxMs: 60_000,
  /** A call that waits takes this beside its body: headers, connection, answer. Counts where all functions' queues do. */
  waitingCallBytes: 8 * 1024,
  /** What a function may go on for nobody, before its sandbox is ended. */
  leftGraceMs: 1_000,
  /** Weight of the newest call in the mean length of a function's calls. */
  meanWeight: 0.2,
  /** What it is taken for before the first call ended. */
  meanFirstMs: 1,
  /** Times that starting a sandbox is tried for waiting calls before they fail. */
  startAttempts: 3,
  /** For a sandbox that said that it ends to do so. */
  drainMs: 2_000,
  /** Whether all calls have ended is looked at this often while the agent stops. */
  drainLookMs: 10,
  /** Times that a call goes elsewhere because its sandbox ended before the call began. */
  returnsMax: 8,
  /** Wait before loading code again that failed to load, doubled each time up to the maximum. */
  loadBackoffMs: 1_000,
  loadBackoffMaxMs: 60_000,
  /** Wait before another sandbox is tried for waiting calls after the box had no room for one. */
  growBackoffMs: 200,
} as const;

/** Calls by the clock. */
export const CRON = {
  /** The box's clock is looked at this often: it may be set. */
  lookMs: 60_000,
  /** A clock that is set back by more than that is believed at once, as cron(5) has it. */
  setBackMs: 3 * 3_600_000,
  /** Schedules that are due take so much of the agent's thread in one go, and leave it to others so many times as long. */
  atOnceMs: 2,
  restTimes: 9,
} as const;

export const QUEUE = {
  parallel: 4,
  /** An answer is held whole until it is in the stream of replies: as long as one that the gateway takes. */
  answerMaxBytes: 6 * 1024 * 1024,
  /** An entry with the names of its fields: as long as a body that the gateway takes. Redis measures it. */
  entryMaxBytes: 6 * 1024 * 1024,
  /** Of one whose fields become JSON, which may be six times as long and takes 25 ms then. */
  asJsonMaxBytes: 1024 * 1024,
  /** Each field costs memory of its own, however short it is. */
  entryFieldsMax: 1_024,
  /** So much, for its name and for its value: it counts with their bytes. */
  fieldBytes: 64,
  /** Of all entries of one queue that are being called. */
  inFlightMaxBytes: 16 * 1024 * 1024,
  /** Until an empty stream is looked at again: twice as long each time it was empty, up to the longest. */
  pollMinMs: 2,
  pollMaxMs: 50,
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

export const EGRESS = {
  attachTimeoutMs: 5_000,
  connectTimeoutMs: 10_000,
  /** Connections of all sandboxes of a function, and of all functions: beyond it they are refused. */
  connectionsPerFunction: 256,
  connectionsMax: 1_024,
  /** From this part of all places on connections are looked at, so often; one that was silent so long gives its place. */
  crowdedRatio: 0.75,
  idleLookMs: 1_000,
  idleMs: 30_000,
  /** Of one sandbox, at once and in the long run; one that is refused, here or outside, counts as several. */
  connectionsPerSecond: 1_000,
  refusedWeight: 10,
  /** After there was no descriptor for it. */
  acceptAgainMs: 1_000,
  /** Read and not yet written, each way of a connection; beside it one read of 64 KiB. */
  bufferBytes: 32 * 1024,
  /** The kernel holds twice as much, each way of each socket. */
  socketBytes: 128 * 1024,
  /** Of all connections of a function, both ways; a read of little counts as this much. */
  bytesPerSecond: 64 * 1024 * 1024,
  readLeastBytes: 8 * 1024,
  /** Names of one function that are looked up at the same time; how long a connection waits for that. */
  lookupsParallel: 4,
  lookupTimeoutMs: 5_000,
  lookupTryMs: 1_500,
  lookupTries: 2,
  /** Of an answer; each is looked at for every connection. */
  addressesMax: 16,
  /** How long an answer is believed: what it says itself, within these. Failures: the shorter. */
  answerMinMs: 5_000,
  answerMaxMs: 60_000,
  /** An address that another namespace of this box gets is known after this. */
  ownAddressesKeptMs: 1_000,
  /** After a look at all of them the thread is left alone for at least so many times as long as it took. */
  restTimes: 9,
  /** Barred destinations that a sandbox's owner is told of. */
  toldMax: 16,
} as const;
