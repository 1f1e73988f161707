/** The reference NFs, and the traffic of test beds and benchmarks. */

/** How NFs and taps wake the loop when a packet is late. */
export const DOORBELL = {
  /** So many late packets within that time are worth looking at: see CONFLICT.aboveMin and windowTicks. */
  lateMin: 3,
  windowMs: 20,
  /** They ring once in so long at most: a burst of late packets is one conflict. */
  gapUs: 200,
  /** After a ring that changed nothing the loop is deaf for so long, doubled each time up to its own period. */
  deafUs: 200,
} as const;

/** The reference NFs' process. */
export const NF_RUNTIME = {
  /** A ring: 2,048 frames are 40 ms at 50,000 packets/s, longer than any scheduling delay worth surviving. */
  ringSlots: 2_048,
  /** A 1,600 byte packet, its header, and room for a tunnel's. */
  slotBytes: 2_048,
  /** The longest frame that any sender makes (64 KB and its headers), and room for a tunnel's. */
  longFrameBytes: 66_560,
  /** Rounds with packets between two looks at what the receive rings had no room for. */
  roundsPerMissed: 256,
  /** Empty rounds in poll mode before the NF asks whether its interfaces are still there: some milliseconds. */
  spinsPerLook: 100_000,
  /** Files in /dev/shm that are looked at when an NF starts, for reports of those that have ended: 10 ms. */
  reportsLookedAt: 1_000,
  /** poll()'s limit in sleep mode; errors and frames wake it sooner. */
  sleepMaxMs: 1_000,
  /** poll()'s limit while the kernel has not taken all frames to be sent. */
  retryMs: 1,
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
  /** Packets under way of which more fragments are to come; a power of two. */
  fragmentedPackets: 1_024,
  /** As long as Linux waits for the rest of a packet. */
  fragmentTimeoutMs: 30_000,
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
