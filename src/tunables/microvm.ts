/** Of engine/microvm and snapshots. */

/** Engine `microvm`. */
export const MICROVM = {
  /** Users of machines, and one more of those that become snapshots: beside those of the other engines. */
  firstUid: 60_000,
  uidCount: 700,
  /** One core and no helper threads: each would be a thread of the one virtual processor. */
  nodeFlags: ['--v8-pool-size=1', '--single-threaded-gc', '--max-semi-space-size=8', '--no-deprecation'],
  /** A machine's memory beyond its functions' limit: kernel, node, and the pages of node's binary. */
  guestMb: 128,
  /** Functions' limits are rounded up to this, so that they share snapshots. */
  stepMb: 128,
  /** QEMU's own memory, of which its translated code is the most; charged to the sandbox beside its function's limit. */
  hostBytes: 96 * 1024 * 1024,
  translationMb: 32,
  /** Room in the root image for ext4's own tables. */
  rootSpareBytes: 16 * 1024 * 1024,
  /** An emulated boot takes 8 s on an idle core. */
  bootTimeoutMs: 60_000,
  /** An emulated kernel that has not started its first program by now never will: timer interrupts can get lost. */
  initTimeoutMs: 20_000,
  bootsMax: 3,
  /** Boots at a time: each has a core for itself that way, and its memory is in nobody's account. Sizes that wait for one. */
  boots: 1,
  bootsWaiting: 64,
  /** With KVM a kernel starts its first program within a second, or hangs. */
  kvmTrialMs: 5_000,
  consoleTailChars: 2_000,
  /** A command of QEMU's; and the saving of its devices, which are some 100 KB, all of it. */
  qmpAnswerMs: 60_000,
  saveTimeoutMs: 60_000,
  devicesMaxBytes: 64 * 1024 * 1024,
} as const;

export const SNAPSHOT = {
  /** On disk, all together; a machine of 256 MB takes 170. */
  diskMaxBytes: 4 * 1024 ** 3,
  /** What a machine takes that has booted, about. */
  bootedBytes: 192 * 1024 ** 2,
  /** Held in memory, so that a restore never waits for the disk. */
  memoryMaxBytes: 512 * 1024 ** 2,
  /** Kept free on the disk. */
  diskReserveBytes: 512 * 1024 ** 2,
  /**
   * How fast a store reads is measured with so much, read so many times: the best counts, since whatever else runs only
   * makes it slower. Writing it, and reading it, ends after so long.
   */
  probeBytes: 16 * 1024 ** 2,
  probeReads: 4,
  probeMaxMs: 500,
  /** A store that reads so many times faster is worth a move, or a copy. */
  fasterFactor: 1.5,
  /** A snapshot takes another's place in a faster store from so many times its worth. */
  moveFactor: 1.25,
  /** Accesses lose half of their weight in so long. */
  halfLifeMs: 600_000,
  /** What making one of a loaded function costs, until one was made. */
  makingMs: 2_000,
  /** It is given up after this: others wait for it. */
  makingMaxMs: 60_000,
  /** Functions that are remembered as loaded lately. */
  candidatesMax: 1_000,
} as const;
