/**
 * Finds running NFs in /proc. A scan is cheap enough for twice a second: one `stat` a process; everything else is read
 * of new processes only. What is remembered of a process holds for its pid, start time AND name: a shell that execs, or
 * a Node program that sets its title, becomes another program under the same pid and start time.
 */

import { readFileSync } from 'node:fs';
import {
  exeBaseName,
  listPids,
  listThreads,
  type ProcessStat,
  parseCpuList,
  processArgs,
  processStat,
  type ThreadInfo,
} from '../linux/process.js';
import { NF } from '../tunables.js';
import { type Candidate, compileRules, type ExplicitNf, judge, profileFor, type Rule } from './match.js';
import type { NfInstance, NfProfile } from './profile.js';

interface Known {
  startTicks: number;
  name: string;
  parentPid: number;
  /** undefined: no NF. */
  rule: Rule | undefined;
  profile: NfProfile | undefined;
  /** The scan at which the verdict is reconsidered. */
  recheckAt: number;
}

export class Discovery {
  private readonly rules: Rule[];
  private known = new Map<number, Known>();
  private scans = 0;

  /** Throws BAD_CONFIG if an explicit entry names no known profile. */
  constructor(profiles: readonly NfProfile[], explicit: readonly ExplicitNf[] = [], byProfile = true) {
    this.rules = compileRules(profiles, explicit, byProfile);
  }

  /** Entries of the configuration that are meant for one process but match several, in words. Of the last scan. */
  ambiguous: string[] = [];

  /** The NFs that run now, by pid; those of an ambiguous entry are left out. */
  scan(): NfInstance[] {
    this.scans++;
    const seen = new Map<number, Known>();
    const supervisors = new Map<number, NfProfile>();
    for (const pid of listPids()) {
      const stat = processStat(pid);
      if (stat === undefined || stat.ended) continue;
      const known = this.recall(pid, stat) ?? this.examine(pid, stat);
      known.parentPid = stat.parentPid;
      seen.set(pid, known);
      if (known.profile !== undefined) supervisors.set(known.parentPid, known.profile);
    }
    this.known = seen;
    const unclear = this.unclear(seen, supervisors);
    const online = onlineCores();
    const instances: NfInstance[] = [];
    for (const [pid, { rule, profile, startTicks }] of seen) {
      if (rule === undefined || profile === undefined) continue;
      if (isSupervisor(pid, rule, profile, supervisors) || unclear.has(rule)) continue;
      if (profile.match.kernel !== undefined) {
        const cores = profile.cores ?? [];
        instances.push({ id: `${profile.name}-${pid}`, profile, pid, startTicks, threads: [], cores });
        continue;
      }
      const threads = listThreads(pid);
      if (threads.length > 0) instances.push(instanceOf(pid, startTicks, rule, profile, threads, online));
    }
    return instances;
  }

  /** Rules for one process that match several. */
  private unclear(
    seen: ReadonlyMap<number, Known>,
    supervisors: ReadonlyMap<number, NfProfile>,
  ): ReadonlySet<Rule> {
    const pidsOf = new Map<Rule, number[]>();
    for (const [pid, { rule, profile }] of seen) {
      if (rule?.singular !== true || rule.pid !== undefined || profile === undefined) continue;
      if (!isSupervisor(pid, rule, profile, supervisors))
        pidsOf.set(rule, [...(pidsOf.get(rule) ?? []), pid]);
    }
    const several = [...pidsOf].filter(([, pids]) => pids.length > 1);
    this.ambiguous = several.map(
      ([{ profile }, pids]) =>
        `nfs: an entry for ${profile.name} says what holds for one process, but ${pids.join(' and ')} match it: ` +
        'give each an entry with its pid',
    );
    return new Set(several.map(([rule]) => rule));
  }

  private recall(pid: number, stat: ProcessStat): Known | undefined {
    const known = this.known.get(pid);
    return known !== undefined && known.recheckAt > this.scans && isSame(known, stat) ? known : undefined;
  }

  private examine(pid: number, { startTicks, name, parentPid }: ProcessStat): Known {
    const candidate = new ProcCandidate(pid, name);
    // A process that is just being replaced by exec has its new name before its new arguments: the first verdict
    // lasts for one scan only.
    const known = this.known.get(pid);
    const isFirst = known === undefined || !isSame(known, { startTicks, name });
    let recheckAt = this.scans + (isFirst ? 1 : NF.recheckScans);
    for (const rule of this.rules) {
      const verdict = judge(rule, candidate);
      if (verdict === 'maybe') recheckAt = this.scans + 1;
      if (verdict !== 'yes') continue;
      return { startTicks, name, parentPid, rule, profile: profileFor(rule, candidate.args()), recheckAt };
    }
    return { startTicks, name, parentPid, rule: undefined, profile: undefined, recheckAt };
  }
}

/** A master whose workers match too carries no packets itself, unless the operator named that very pid. */
function isSupervisor(
  pid: number,
  rule: Rule,
  profile: NfProfile,
  supervisors: ReadonlyMap<number, NfProfile>,
): boolean {
  return rule.pid === undefined && supervisors.get(pid)?.name === profile.name;
}

function isSame(known: Known, stat: Pick<ProcessStat, 'startTicks' | 'name'>): boolean {
  return known.startTicks === stat.startTicks && known.name === stat.name;
}

/** One look, without memory. */
export function discover(profiles: readonly NfProfile[], explicit: readonly ExplicitNf[] = []): NfInstance[] {
  return new Discovery(profiles, explicit).scan();
}

class ProcCandidate implements Candidate {
  private argsText: string | undefined;
  private exeText: string | undefined;
  private threads: string[] | undefined;

  constructor(
    readonly pid: number,
    readonly name: string,
  ) {}

  exe(): string | undefined {
    this.exeText ??= exeBaseName(this.pid);
    return this.exeText;
  }

  args(): string {
    // A program that writes its title over its arguments leaves blanks or zeros behind it.
    this.argsText ??= processArgs(this.pid).join(' ').trimEnd();
    return this.argsText;
  }

  threadNames(): readonly string[] {
    this.threads ??= listThreads(this.pid).map((thread) => thread.name);
    return this.threads;
  }
}

function instanceOf(
  pid: number,
  startTicks: number,
  rule: Rule,
  profile: NfProfile,
  infos: readonly ThreadInfo[],
  online: number,
): NfInstance {
  const { packetThreads } = rule;
  const threads = infos.map(({ tid, name, cpus }) => ({
    tid,
    name,
    packet:
      packetThreads === undefined || (packetThreads === 'main' ? tid === pid : packetThreads.test(name)),
    cores: cpus,
  }));
  const packet = threads.filter((thread) => thread.packet);
  // One packet thread that may run anywhere makes every core a possible NF core: then none can be promised.
  const bound = packet.every((thread) => thread.cores.length < online || online === 1);
  const cores = bound ? [...new Set(packet.flatMap((thread) => thread.cores))].sort((a, b) => a - b) : [];
  return { id: `${profile.name}-${pid}`, profile, pid, startTicks, threads, cores };
}

/** How many cores are online. */
function onlineCores(): number {
  return parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'latin1')).length;
}
