/** What an NF profile says, after it was checked: the types that follow from its schema. */

import type { ProfileInput } from './nf-profile-schema.js';

/** With defaults filled in. The schema describes each key. */
export type NfProfile = ProfileInput &
  Required<Pick<ProfileInput, 'title' | 'latency' | 'protection' | 'harvest'>>;

export type NfMode = NfProfile['mode'];
/** Own requests or packets through the NF. IPv4. */
export type ProbeSpec = NonNullable<NfProfile['latency']['probe']>;
/** The NF's own counters, and where it tells them. */
export type TelemetrySpec = NonNullable<NfProfile['telemetry']>;

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
