/** What an NF profile says, after it was checked. The YAML's JSON Schema is nf-profiles/profile.schema.json. */

export type NfMode = 'sleep' | 'poll';
export type LatencySourceKind = 'reported' | 'runqueue' | 'tap' | 'probe' | 'none';

/** Own requests or packets through the NF. IPv4. */
export interface ProbeSpec {
  kind: 'http' | 'udp' | 'icmp';
  /** http: a URL, or nothing: the first TCP port on which the NF's process listens. udp: address:port. icmp: address. */
  target?: string;
  /** udp: what is sent, in hexadecimal, for services that answer only what they understand. Default: `nemo-probe`. */
  payload?: string;
  /** Network namespace in which the probe starts: the NF's, the agent's, or the path of one. */
  from?: string;
  periodMs?: number;
}

/** The NF's own counters, and where it tells them. */
export interface TelemetrySpec {
  kind: 'dpdk' | 'ovs';
  /** Path of the socket. Default: the one at which the process listens. */
  socket?: string;
}

export interface SleepControlSpec {
  kind: 'ovs-pmd-maxsleep';
  /** Longest sleep, microseconds. */
  value: number;
  /** Path of the socket of its database. Default: that of Debian's package. */
  database?: string;
}

export interface NfProfile {
  name: string;
  title: string;
  /** All given conditions must hold. Patterns are regular expressions. */
  match: {
    /** Against the base name of the executable, or for scripts the process's comm. */
    process?: string;
    /** Against the arguments joined by blanks. */
    args?: string;
    /** At least one thread must be named like this. */
    thread?: string;
    /** No process: work of the kernel in the network namespace of the process that the configuration names by pid. */
    kernel?: 'nftables' | 'wireguard';
  };
  /** `match.kernel`: cores on which its packets are handled (by the queues' interrupts or by RPS). */
  cores?: number[];
  mode: NfMode;
  /** Pattern on the arguments: a process that matches polls, whatever `mode` says. */
  pollArgs?: string;
  /** Pattern on thread names (comm), or `main`: the main thread alone. Undefined: every thread of the process. */
  packetThreads?: string;
  /** p99 packet latency that the operator wants kept, microseconds. */
  sloP99Us: number;
  latency: {
    source: LatencySourceKind;
    /** `tap`: interfaces where packets enter and leave, and the invariant that survives the NF. */
    ingress?: string;
    egress?: string;
    invariant?: 'payload-tail' | 'packet-tail' | 'ipv4-id' | 'five-tuple-payload';
    /** `probe`: what is sent through the NF. */
    probe?: ProbeSpec;
  };
  telemetry?: TelemetrySpec;
  protection: {
    kind: 'none' | 'fifo' | 'nice';
    /** FIFO 1..98 or nice -20..-1. */
    value?: number;
  };
  /** How a poll-mode NF is asked to sleep while its core is harvested. */
  sleepControl?: SleepControlSpec;
  /** Whether the core of a poll-mode NF that cannot be asked to sleep may be lent in slices: docs/slice-gate.md. */
  slices?: boolean;
  /** Whether its core may be harvested at all. */
  harvest: boolean;
}

/** A running NF, as discovery sees it. */
export interface NfInstance {
  /** `<profile>-<pid>`; of a kernel NF, the pid is that of a process in its namespace. */
  id: string;
  /** With what explicit configuration overrides, and in the mode in which this process runs. */
  profile: NfProfile;
  pid: number;
  /** From /proc/<pid>/stat: tells a restarted pid from the old one. */
  startTicks: number;
  /** The user whose files and sockets are believed to be the NF's, beside root's. */
  uid: number;
  threads: Array<{ tid: number; name: string; packet: boolean; cores: number[] }>;
  /** Cores to which its packet threads are bound. Empty if they may run anywhere: such an NF is not harvested. */
  cores: number[];
}
