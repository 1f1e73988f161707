/**
 * Asks a poll-mode NF to sleep when it has nothing to do, through its own controls, while its core is harvested. What it
 * was before stands in a journal, written before anything is changed: this process puts it back at the end, the guardian
 * after `kill -9`, the next agent if even that was lost. Where a setting is to be made, the profile or the configuration
 * says; what a process says of itself is at most compared with that.
 */

import { lstatSync, realpathSync } from 'node:fs';
import { run } from '../host/packages.js';
import { processArgs } from '../linux/process.js';
import { folderWritableByOthers } from '../linux/root-only.js';
import { asNemoError } from '../model/errors.js';
import type { NfInstance } from '../model/nf-profile.js';
import { ovsVersion } from './ovs-version.js';
import {
  type OvsMaxSleep,
  readSettings,
  settingsPath,
  undoArgs,
  vsctlOptions,
  writeSettings,
} from './settings-journal.js';

/** Of Debian's package. */
const OVS_DATABASE = '/var/run/openvswitch/db.sock';

export interface SleepReport {
  /** True while the NF sleeps, by us or by its owner's own setting. */
  sleeps: boolean;
  /** What was set, or why nothing was, as a message. */
  message: string;
}

interface Changed {
  record: OvsMaxSleep;
  /** NFs that share the setting: one Open vSwitch may run twice in a row under two pids. */
  nfIds: Set<string>;
}

export class SleepControls {
  /** By database. */
  private readonly changed = new Map<string, Changed>();

  private constructor(private readonly journal: string) {}

  /** Puts back first what a dead agent left. What cannot be put back yet is kept, and tried again later. */
  static async start(stateDir: string): Promise<SleepControls> {
    const controls = new SleepControls(settingsPath(stateDir));
    for (const record of readSettings(controls.journal)) {
      controls.changed.set(record.database, { record, nfIds: new Set() });
    }
    await controls.restoreUnused();
    return controls;
  }

  /** Never rejects: an NF that cannot be asked goes on polling, and the report says why. */
  async apply(nf: NfInstance): Promise<SleepReport> {
    const control = nf.profile.sleepControl;
    if (control === undefined) return { sleeps: false, message: 'its profile names no way to let it sleep' };
    const database = control.database ?? OVS_DATABASE;
    const wrong = notItsDatabase(nf, database);
    if (wrong !== undefined) return { sleeps: false, message: wrong };
    const ours = this.changed.get(database);
    if (ours !== undefined) {
      ours.nfIds.add(nf.id);
      return { sleeps: true, message: `pmd-maxsleep is ${control.value} us` };
    }
    const version = await ovsVersion(nf);
    if (typeof version === 'string') return { sleeps: false, message: version };
    if (!canSleep(version))
      return { sleeps: false, message: 'its threads cannot sleep before Open vSwitch 3.1' };
    const ask = (...args: string[]) => run('ovs-vsctl', [...vsctlOptions(database), ...args]);
    const old = await ask('--if-exists', 'get', 'Open_vSwitch', '.', 'other_config:pmd-maxsleep');
    if (old.exitCode !== 0) return { sleeps: false, message: `ovs-vsctl: ${old.output.trim()}` };
    const oldValue = /\d{1,7}/.exec(old.output)?.[0];
    // Its owner lets it sleep already: not ours to change.
    if (oldValue !== undefined && oldValue !== '0') {
      return { sleeps: true, message: `its owner set pmd-maxsleep to ${oldValue} us` };
    }
    const record = { kind: control.kind, database, oldValue: oldValue === undefined ? null : 0 };
    this.changed.set(database, { record, nfIds: new Set([nf.id]) });
    const why = this.save();
    if (why !== undefined) {
      this.changed.delete(database);
      return { sleeps: false, message: `what it was before cannot be written down: ${why}` };
    }
    const set = await ask('set', 'Open_vSwitch', '.', `other_config:pmd-maxsleep=${control.value}`);
    if (set.exitCode === 0) return { sleeps: true, message: `pmd-maxsleep is ${control.value} us` };
    await this.release(nf.id);
    return { sleeps: false, message: `ovs-vsctl: ${set.output.trim()}` };
  }

  /** Puts the old value back when no other NF of ours needs the setting. */
  async release(nfId: string): Promise<void> {
    for (const { nfIds } of this.changed.values()) nfIds.delete(nfId);
    await this.restoreUnused();
  }

  async close(): Promise<void> {
    for (const { nfIds } of this.changed.values()) nfIds.clear();
    await this.restoreUnused();
  }

  /** What fails stays in the journal: for the next release, the guardian, or the next agent. */
  private async restoreUnused(): Promise<void> {
    for (const [database, { record, nfIds }] of [...this.changed]) {
      if (nfIds.size > 0) continue;
      const { exitCode } = await run('ovs-vsctl', undoArgs(record));
      if (exitCode === 0 && nfIds.size === 0) this.changed.delete(database);
    }
    this.save();
  }

  /** In words, why it could not, as on a full disk. What has been put back may stand there until it can. */
  private save(): string | undefined {
    try {
      writeSettings(
        this.journal,
        [...this.changed.values()].map(({ record }) => record),
      );
      return undefined;
    } catch (thrown) {
      return asNemoError(thrown).message;
    }
  }
}

function canSleep([major, minor]: [number, number]): boolean {
  return major > 3 || (major === 3 && minor >= 1);
}

/** Why a setting in that database would not be this NF's, or would not be safe to make; a message. */
function notItsDatabase({ pid, uid }: NfInstance, database: string): string | undefined {
  // ovs-vswitchd's only argument that is not an option.
  const given = processArgs(pid)
    .slice(1)
    .find((arg) => /^(unix|tcp|ssl):/.test(arg));
  if (given !== undefined && withoutVar(given) !== `unix:${withoutVar(database)}`) {
    return `it uses another database than ${database}: name the path of its socket as sleepControl: database`;
  }
  try {
    const path = realpathSync(database);
    const socket = lstatSync(path);
    if (!socket.isSocket()) return `${database} is not a socket`;
    if (socket.uid !== 0 && socket.uid !== uid) return `${database} belongs to user ${socket.uid}`;
    return folderWritableByOthers(path, '', uid);
  } catch {
    return `there is no ${database}: name the path of its database's socket as sleepControl: database`;
  }
}

/** /var/run is a link to /run. */
function withoutVar(path: string): string {
  return path.replace(/^(unix:)?\/var\/run\//, '$1/run/');
}
