/** Sandboxes: the pool, what each may use, and what each engine adds. */

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
  /** For NFs and the agent: no new sandbox is made below this much available memory, and no limit reaches into it. */
  reserveBytes: 512 * 1024 * 1024,
  /** Of the memory for sandboxes, most that the process of one owner may have, however many functions share it. */
  shareRatio: 0.5,
  memoryMaxDefaultBytes: 128 * 1024 * 1024,
  pidsMax: 64,
} as const;

export const SANDBOX = {
  /** A stem on a busy NF core starts at SCHED_IDLE: seconds are normal there, half a minute is a fault. */
  startTimeoutMs: 30_000,
  /** Loading code may take at least this long, whatever the timeout of its calls. */
  loadTimeoutMs: 10_000,
  /** Pipes and sockets of a dead sandbox close at once; this bounds the wait for what may still be in them. */
  lastWordsMs: 500,
  /** Users of sandboxes: one each, from a range that distributions leave free. */
  firstUid: 64_000,
  uidCount: 1_000,
  /** Private /tmp; its pages also count against the sandbox's memory. */
  tmpMaxBytes: 16 * 1024 * 1024,
  /** Private /dev/shm, for POSIX shared memory and semaphores; its pages count as well. What Docker gives. */
  sharedMemoryMaxBytes: 64 * 1024 * 1024,
  openFilesMax: 1_024,
  /** Signals that wait: the kernel forgets all of them in one go, with interrupts off, some 150 ns each. */
  signalsMax: 256,
  /** One core, so one thread for V8's background work; small young generation, so small resident size. */
  nodeFlags: ['--v8-pool-size=1', '--max-semi-space-size=8', '--no-deprecation'],
} as const;

/** On files, which are memory that the kernel charges to nobody. */
export const LOCKS = {
  /** SQLite holds a few for each database. */
  perSandboxMax: 4_096,
  /** Of the kernel's list, for each look: some 9,000 locks. Reading it costs their number squared. */
  readMaxBytes: 512 * 1024,
  /** Between two looks through all open files of sandboxes, in parts of the time that the first took. */
  restTimes: 9,
} as const;

/** Of files by epoll. What is said through a pipe wakes all that watch it, in the time of whoever says it. */
export const WATCHES = {
  /** A process has some for each of its connections; all of them on one pipe take the agent 2 ms each time. */
  perSandboxMax: 16_384,
  /** The agent's thread spends more of its time than that in the kernel: then they are counted. */
  kernelTimeRatio: 0.1,
  /** Between two counts, in parts of the time that the first took. */
  restTimes: 9,
} as const;

/** Where what functions say is told by the names of their own files. */
export const SOURCE_NAMES = {
  /** Of a source map, encoded: reading it holds the agent up for some ms. */
  mapMaxBytes: 1024 * 1024,
  /** Maps that are kept ready. */
  mapsMax: 8,
  /** For each time that a map was read, none is for so many times as long; but what is read within so long needs no rest. */
  restTimes: 9,
  burstMs: 100,
  /** Of one text. */
  placesMax: 50,
  nameMaxChars: 300,
} as const;

/** Worker threads as sandboxes: engines `isolate` and `wasm`. */
export const ISOLATE = {
  /** Users of their processes: one each, below the range of process sandboxes. */
  firstUid: 63_000,
  uidCount: 900,
  /**
   * No helper threads, so that a sandbox's garbage is collected on its own thread and its own account; small heaps;
   * modules come from memory; the runner collects once what starting left behind. What a buffer gets of memory is empty:
   * a neighbour of its sharing group may have had it.
   */
  nodeFlags: [
    '--single-threaded',
    '--v8-pool-size=1',
    '--optimize-for-size',
    '--no-node-snapshot',
    '--experimental-vm-modules',
    '--expose-gc',
    '--no-warnings',
    '--zero-fill-buffers',
  ],
  /** Of a thread; V8 takes it as reserved, not as used. */
  stackMb: 1,
  youngMb: 1,
  openFilesMax: 4_096,
  /** Memory of a process without its sandboxes, and of each stem in it: node takes a third of both, and all of it is counted. */
  hostBytes: 48 * 1024 * 1024,
  stemBytes: 16 * 1024 * 1024,
  /** Threads that a process may have beside its sandboxes: node's own and a sandbox's pool for asynchronous zlib and crypto. */
  hostThreads: 32,
  /** Calls of a stem's rehearsal: the first compiles what is in the way, the next find out what is common. */
  rehearsalCalls: 3,
  /** Code that the agent reads in one go; larger files take it some time, in which others go on. */
  readAtOnceBytes: 256 * 1024,
  /** A thread that was told to end and did not is ended with its process after this. */
  endPatienceMs: 2_000,
  /** Meanwhile whatever holds it back is lifted this often. */
  releasePeriodMs: 50,
  /** A connection that has not said for which sandbox it is after this is closed. */
  unclaimedMs: 10_000,
  /** Connections beyond those that threads were started to make, before the process is ended. */
  strayConnectionsMax: 16,
} as const;

/** Engine `wasm`, beside what it has in common with `isolate`. */
export const WASM = {
  firstUid: 62_000,
  /** Threads of a process that its sandboxes share; busy ones beyond it are there as long as they are needed. */
  threads: 8,
  /** Those beyond it end when they have had nothing to do for this long. */
  threadKeptMs: 1_000,
  /** Heap of a thread; what modules have of memory is not in it. */
  heapBytes: 64 * 1024 * 1024,
  /** A function whose instance is kept by a thread that runs another's call waits for it this long, looking this often. */
  homeWaitMs: 20,
  homeLookMs: 1,
  /** Most memory that a module may ask for at its start, so that it is looked at at all. */
  checkMemoryBytes: 512 * 1024 * 1024,
  /** What may be said of a module that is not fit. */
  complaintMaxBytes: 4 * 1024,
} as const;

/** Work on strangers' bytes in processes of its own: bundling, compiling, unpacking. */
export const CONFINED = {
  /** Users of these processes: beside those of the engines. */
  firstUid: 60_800,
  uidCount: 100,
  /** Compiling 8 MB of WebAssembly takes some 100 MB, bundling 8 MB of code 300 MB. */
  memoryMaxBytes: 512 * 1024 * 1024,
  pidsMax: 64,
  /** Of work. On a busy box it may have to wait much longer for its turns. */
  cpuMaxSeconds: 20,
  timeoutMs: 90_000,
  /** At a time, and waiting for that; imports of images have a line of their own. */
  jobs: 2,
  jobsWaiting: 32,
  /** A bundle as the bundler gives it back. */
  bundleMaxBytes: 32 * 1024 * 1024,
} as const;

export const OCI = {
  /** An image's layers together, unpacked; so that a small file cannot become a full disk. */
  imageMaxBytes: 2 * 1024 * 1024 * 1024,
  /** Files, links and directories, those on the way to a file too. */
  entriesMax: 200_000,
  /** Directories on the way to a file, and its whole path. */
  depthMax: 64,
  pathMaxBytes: 2_048,
  /** Extended headers of one entry of a tar. */
  tarMetaMaxBytes: 256 * 1024,
  /** Headers of a layer for each entry that it may have; and what pads it after its end, with tar 10 KiB at most. */
  headersPerEntry: 2,
  tarTrailerMaxBytes: 1024 * 1024,
  /** CPU time of each program that reads a layer or an archive: 2 GiB of zstd take 40 s where node has none of its own. */
  importCpuMaxSeconds: 180,
  /** Files of an archive of an image, which are its layers and a few documents. */
  archiveEntriesMax: 10_000,
  /** One import at a time, so that the room that is left is told truly; others wait. */
  imports: 1,
  importsWaiting: 8,
  importTimeoutMs: 900_000,
  /** Heap of the thread that reads documents of images and passes on layers. */
  importHeapMb: 256,
  diskLookMs: 250,
  /** Of different content. All of them are named in the one page of options that a mount has. */
  layersMax: 128,
  /**
   * Of a digest in base64url: 168 bits name a layer's directory, so that nobody finds two layers of one name. All 256 would be
   * 43 characters, and the names of all layers have to fit into one page.
   */
  layerNameChars: 28,
  /** Registries and repositories that are remembered as having given a layer. */
  layerSourcesMax: 100,
  /** Manifests and configs. */
  documentMaxBytes: 1024 * 1024,
  document: { depthMax: 64, valuesMax: 200_000 },
  /** Of a config: environment, arguments, and volumes, each of which is a file system of its own. */
  configTextsMax: 1_000,
  configTextsMaxBytes: 128 * 1024,
  volumesMax: 16,
  /** Folders of PATH, in which its program is looked for. */
  searchPathsMax: 64,
  indexDepthMax: 3,
  /** All of a pull from a registry together, and the silence of a peer in it. */
  fetchTimeoutMs: 600_000,
  connectTimeoutMs: 10_000,
  answerTimeoutMs: 30_000,
  redirectsMax: 5,
  headersMaxBytes: 16 * 1024,
  tokenMaxBytes: 64 * 1024,
  /** Users of containers: beside those of the other engines. */
  firstUid: 61_000,
  /** Of an image that has more users, none is added. */
  passwdMaxBytes: 64 * 1024,
  /** Terminals that a container may open; the kernel has some thousands for all. */
  terminalsMax: 16,
  tmpFilesMax: 10_000,
  /** A server that has just started is asked this often whether it listens; later, after this part of its time more. */
  acceptPollMs: 2,
  acceptPollRatio: 0.05,
  acceptPollMaxMs: 250,
  /** Loopback answers at once, or not at all: nobody may hold the agent's thread by a full backlog. */
  connectWaitMs: 0,
  /**
   * How long a connection to its server waits for the next call. Shorter than servers keep one (gunicorn 2 s, node and
   * uvicorn 5 s): who closes first has no request on its way. A new one takes some 100 us.
   */
  keepAliveMs: 1_500,
  /** Images that are kept laid out though they have no sandbox. */
  unusedImagesMax: 16,
  /** The head of an answer, as node's own limit; and those before it, 1xx, that announce it. */
  headMaxBytes: 16 * 1024,
  informationalMax: 16,
  /** What may come from a container that is no content; each byte of content allows so much more: a chunk of one byte has five. */
  framingMaxBytes: 1024 * 1024,
  framingPerByte: 16,
  /** Times that a request is sent of which its server took nothing. */
  attemptsMax: 3,
  /** How long the end of a process may take to be known after its connection broke. */
  lastWordsMs: 600,
  /** Layers that no function has are removed so long after a deploy wanted them; the second where the store has no room. */
  unusedLayerMs: 3_600_000,
  unusedLayerShortMs: 60_000,
} as const;

/** What the state directory holds on behalf of callers. */
export const STORAGE = {
  /** Bundles, packages, layers of images, and archives on their way, together. */
  maxBytes: 16 * 1024 * 1024 * 1024,
  /** What a file counts at least: file systems have about one inode for so many bytes. */
  fileMinBytes: 16 * 1024,
  /** Left to others on the disk, whatever is counted. */
  diskFreeMinBytes: 64 * 1024 * 1024,
  inodesFreeMin: 10_000,
} as const;

/** Archives of images that clients send in parts. */
export const UPLOAD = {
  partMaxBytes: 4 * 1024 * 1024,
  openMax: 8,
  /** Of one client, so that nobody has all places. */
  openPerClientMax: 4,
  /**
   * One is removed so long after its last part, and so long after its start and the time that its bytes take at this rate:
   * nobody keeps a place by sending little, or the store's room by having sent much.
   */
  keptMs: 600_000,
  bytesPerS: 64 * 1024,
} as const;

export const ENGINES = {
  /** Whether an engine works here is looked at again after this: a check may start a process. */
  checkKeptMs: 10_000,
} as const;
