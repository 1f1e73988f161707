/**
 * Asks a poll-mode NF to sleep when it has nothing to do, through its own controls, while its core is harvested. What
 * undoes it is a shell script in the state directory, written before anything is changed: this process runs it at the
 * end, the guardian after `kill -9`, the next agent if even that was lost.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from '../linux/packages.js';
import { processArgs } from '../linux/process.js';
import { NF } from '../tunables.js';
import type { NfInstance } from './profile.js';

export function settingsPath(stateDir: string): string {
  return join(stateDir, 'settings.sh');
}

export interface SleepReport {
  /** True while the NF sleeps, by us or by its owner's own setting. */
  sleeps: boolean;
  /** What was set, or why nothing was, in words. */
  message: string;
}

interface Changed {
  /** Shell command that puts the old value back. */
  restore: string;
  /** NFs that share the setting: one Open vSwitch may run twice in a row under two pids. */
  nfIds: Set<string>;
}

export class SleepControls {
  private readonly changed = new Map<string, Changed>();

  private constructor(private readonly script: string) {}

  /** Puts back first what a dead agent left. What cannot be put back yet is kept, and tried again later. */
  static async start(stateDir: string): Promise<SleepControls> {
    const script = settingsPath(stateDir);
    const controls = new SleepControls(script);
    if (existsSync(script)) {
      const commands = readFileSync(script, 'utf8').split('\n');
      for (const restore of commands.filter((line) => line !== '' && !line.startsWith('#'))) {
        controls.changed.set(restore, { restore, nfIds: new Set() });
      }
      await controls.restoreUnused();
    }
    return controls;
  }

  /** Never rejects: an NF that cannot be asked goes on polling, and the report says why. */
  async apply(nf: NfInstance): Promise<SleepReport> {
    const control = nf.profile.sleepControl;
    if (control === undefined) return { sleeps: false, message: 'its profile names no way to let it sleep' };
    const database = ovsDatabase(nf.pid);
    const ours = this.changed.get(database);
    if (ours !== undefined) {
      ours.nfIds.add(nf.id);
      return { sleeps: true, message: `pmd-maxsleep is ${control.value} us` };
    }
    const ask = (...args: string[]) => run('ovs-vsctl', [...ovsOptions(database), ...args]);
    const version = await run(`/proc/${nf.pid}/exe`, ['--version']);
    if (!canSleep(version.output)) {
      return {
        sleeps: false,
        message: 'its threads cannot sleep before Open vSwitch 3.1',
      };
    }
    const old = await ask('--if-exists', 'get', 'Open_vSwitch', '.', 'other_config:pmd-maxsleep');
    if (old.exitCode !== 0) return { sleeps: false, message: `ovs-vsctl: ${old.output.trim()}` };
    const oldValue = /\d+/.exec(old.output)?.[0];
    // Its owner lets it sleep already: not ours to change.
    if (oldValue !== undefined && oldValue !== '0') {
      return { sleeps: true, message: `its owner set pmd-maxsleep to ${oldValue} us` };
    }
    const undo =
      oldValue === undefined
        ? ['remove', 'Open_vSwitch', '.', 'other_config', 'pmd-maxsleep']
        : ['set', 'Open_vSwitch', '.', `other_config:pmd-maxsleep=${oldValue}`];
    const restore = ['ovs-vsctl', '--no-wait', ...ovsOptions(database), ...undo].map(quote).join(' ');
    this.changed.set(database, { restore, nfIds: new Set([nf.id]) });
    this.save();
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

  /** A command that fails stays in the script: for the next release, the guardian, or the next agent. */
  private async restoreUnused(): Promise<void> {
    for (const [key, { restore, nfIds }] of [...this.changed]) {
      if (nfIds.size > 0) continue;
      if ((await run('sh', ['-c', restore])).exitCode === 0 && nfIds.size === 0) this.changed.delete(key);
    }
    this.save();
  }

  private save(): void {
    if (this.changed.size === 0) {
      rmSync(this.script, { force: true });
      return;
    }
    const lines = [...this.changed.values()].map(({ restore }) => restore);
    mkdirSync(dirname(this.script), { recursive: true });
    const unfinished = `${this.script}.new`;
    // The guardian acts for its own agent only: it must not undo what the next one did.
    writeFileSync(unfinished, `#!/bin/sh\n# agent ${process.pid}\n${lines.join('\n')}\n`, { mode: 0o700 });
    renameSync(unfinished, this.script);
  }
}

/** "ovs-vswitchd (Open vSwitch) 3.1.0 ..." can, 2.17.9 cannot. */
function canSleep(version: string): boolean {
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(version) ?? []).slice(1).map(Number);
  return major > 3 || (major === 3 && minor >= 1);
}

/** A database that does not answer must not hold the agent up. */
function ovsOptions(database: string): string[] {
  return [`--timeout=${NF.askTimeoutS}`, `--db=${database}`];
}

/** ovs-vswitchd's only argument that is no option. */
function ovsDatabase(pid: number): string {
  const given = processArgs(pid)
    .slice(1)
    .find((arg) => /^(unix|tcp|ssl):/.test(arg));
  return given ?? 'unix:/var/run/openvswitch/db.sock';
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
