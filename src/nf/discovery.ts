/**
 * Finds running NFs in /proc. A scan is cheap enough for twice a second: one `stat` a process; everything else is read
 * of new processes only. What is remembered of a process holds for its pid, start time AND name: a shell that execs, or
 * a Node program that sets its title, becomes another program under the same pid and start time. What a process is called
 * only chooses among those that nf/identity believes.
 */

import { onlineCores } from '../linux/online-cores.js';
import {
  exeBaseName,
  listPids,
  listThreads,
  type ProcessStat,
  processArgs,
  processStat,
  startTicks,
  type ThreadInfo,
} from '../linux/process.js';
import { type ProcessFacts, readProcessFacts } from '../linux/process-facts.js';
import type { NfInstance, NfProfile } from '../model/nf-profile.js';
import type { ExplicitNf } from '../model/nf-profile-schema.js';
import { NF } from '../tunables/index.js';
import { type Distrust, distrust, distrustNamed, distrustText, isWorthReporting } from './identity.js';
import { type Candidate, compileRules, judge, profileFor, type Rule } from './match.js';

interface Known {
  startTicks: number;
  name: string;
  parentPid: number;
  /** undefined: not an NF. */
  rule: Rule | undefined;
  profile: NfProfile | undefined;
  uid: number;
  /** Of an NF that was told by them. */
  args: string | undefined;
  /** It fits a rule, but is not trusted. */
  refused: Refused | undefined;
  /** It is a function, by whatever name. */
  isFunction: boolean;
  /** The scan at which the verdict is reconsidered. */
  recheckAt: number;
}

export interface DiscoveryOptions {
  /** Also find by profile what `explicit` does not name. Default true. */
  byProfile?: boolean;
  /** Users whose processes are trusted, beside root's. */
  users?: readonly number[];
  /** Names of the cgroup roots of agents: what runs in them is never an NF. */
  agents?: () => ReadonlySet<string>;
}

export interface Refused {
  profile: string;
  why: Distrust;
}

export class Discovery {
  private rules: Rule[];
  private known = new Map<number, Known>();
  private scans = 0;
  private readonly users: ReadonlySet<number>;
  private readonly agents: () => ReadonlySet<string>;

  /** Throws BAD_CONFIG if an explicit entry names no known profile. Its pids mean the processes that run now. */
  constructor(
    profiles: readonly NfProfile[],
    explicit: readonly ExplicitNf[] = [],
    { byProfile = true, users = [], agents = () => new Set() }: DiscoveryOptions = {},
  ) {
    this.rules = compileRules(profiles, explicit, byProfile, startTicks);
    this.users = new Set(users);
    this.agents = agents;
  }

  /** Messages about entries of the configuration that are meant for one process but matched several in the last scan. */
  ambiguous: string[] = [];
  /** Messages about entries of the configuration that ended with their process; who reports them removes them here. */
  readonly ended: string[] = [];
  /** Processes of the last scan that fit a profile but are not trusted, by pid; without functions, which may use any name. */
  refused: ReadonlyMap<number, Refused> = new Map();

  /** The NFs that run now, by pid; those of an ambiguous entry are left out. */
  scan(): NfInstance[] {
    this.scans++;
    const agents = this.agents();
    const seen = new Map<number, Known>();
    const refused = new Map<number, Refused>();
    const supervisors = new Map<number, NfProfile>();
    for (const pid of listPids()) {
      const stat = processStat(pid);
      if (stat === undefined || stat.ended) continue;
      const known = this.recall(pid, stat) ?? this.examine(pid, stat, agents);
      known.parentPid = stat.parentPid;
      seen.set(pid, known);
      if (known.refused !== undefined) refused.set(pid, known.refused);
      if (known.profile !== undefined) supervisors.set(known.parentPid, known.profile);
    }
    this.known = seen;
    this.refused = refused;
    this.endEntries(seen);
    const unclear = this.unclear(seen, supervisors);
    const online = onlineCores().length;
    const instances: NfInstance[] = [];
    for (const [pid, { rule, profile, startTicks, uid }] of seen) {
      if (rule === undefined || profile === undefined) continue;
      if (isSupervisor(pid, rule, profile, supervisors) || unclear.has(rule)) continue;
      if (profile.match.kernel !== undefined) {
        const cores = profile.cores ?? [];
        instances.push({ id: `${profile.name}-${pid}`, profile, pid, startTicks, uid, threads: [], cores });
        continue;
      }
      const threads = listThreads(pid);
      if (threads.length > 0) instances.push(instanceOf(pid, seen.get(pid)!, rule, profile, threads, online));
    }
    return instances;
  }

  /** A pid in the configuration means one process: the entry ends with it, even if another process gets the number. */
  private endEntries(seen: ReadonlyMap<number, Known>): void {
    const over = this.rules.filter(
      ({ pid, startTicks }) =>
        pid !== undefined && (startTicks === undefined || seen.get(pid)?.startTicks !== startTicks),
    );
    for (const { profile, pid, startTicks } of over) {
      const what = startTicks === undefined ? 'there is no such process' : 'its process has ended';
      this.ended.push(`nfs: the entry for ${profile.name} with pid ${pid} holds no more: ${what}`);
    }
    if (over.length > 0) this.rules = this.rules.filter((rule) => !over.includes(rule));
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
    if (known === undefined || known.recheckAt <= this.scans) return undefined;
    if (known.isFunction && known.startTicks === stat.startTicks) return known;
    if (!isSame(known, stat)) return undefined;
    // An NF may change what it is under the same name: a worker of nginx says in its title that it shuts down.
    return known.args === undefined || known.args === argsOf(pid) ? known : undefined;
  }

  private examine(pid: number, stat: ProcessStat, agents: ReadonlySet<string>): Known {
    const { startTicks, name, parentPid } = stat;
    const candidate = new ProcCandidate(pid, startTicks, name, this.users, agents);
    // A process that is just being replaced by exec has its new name before its new arguments: the first verdict
    // lasts for one scan only.
    const known = this.known.get(pid);
    const isFirst = known === undefined || !isSame(known, { startTicks, name });
    const fresh: Known = {
      ...{ startTicks, name, parentPid, rule: undefined, profile: undefined },
      ...{ args: undefined, uid: 0, refused: undefined, isFunction: false },
      recheckAt: this.scans + (isFirst ? 1 : NF.recheckScans),
    };
    for (const rule of this.rules) {
      const verdict = judge(rule, candidate);
      if (verdict === 'maybe') fresh.recheckAt = this.scans + 1;
      if (typeof verdict === 'object' && verdict.kind === 'sandbox')
        return { ...fresh, isFunction: true, recheckAt: this.scans + NF.recheckScans };
      if (typeof verdict === 'object' && isWorthReporting(verdict))
        fresh.refused ??= { profile: rule.profile.name, why: verdict };
      if (verdict !== 'yes') continue;
      const profile = profileFor(rule, candidate.args());
      const args = rule.argsPattern === undefined ? undefined : candidate.args();
      return { ...fresh, rule, profile, args, uid: candidate.uid, refused: undefined };
    }
    return fresh;
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

/** A single scan. `onRefused` gets a message for each process that fits a profile but is not trusted. */
export function discover(
  profiles: readonly NfProfile[],
  explicit: readonly ExplicitNf[] = [],
  options: DiscoveryOptions & { onRefused?: (sentence: string) => void } = {},
): NfInstance[] {
  const discovery = new Discovery(profiles, explicit, options);
  const found = discovery.scan();
  for (const [pid, { profile, why }] of discovery.refused)
    options.onRefused?.(distrustText(pid, profile, why));
  return found;
}

/** A program that writes its title over its arguments leaves blanks or zeros behind it. */
function argsOf(pid: number): string {
  return processArgs(pid).join(' ').trimEnd();
}

class ProcCandidate implements Candidate {
  private argsText: string | undefined;
  private exeText: string | undefined;
  private threads: string[] | undefined;
  private known: ProcessFacts | 'gone' | undefined;

  constructor(
    readonly pid: number,
    readonly startTicks: number,
    readonly name: string,
    private readonly users: ReadonlySet<number>,
    private readonly agents: ReadonlySet<string>,
  ) {}

  exe(): string | undefined {
    this.exeText ??= exeBaseName(this.pid);
    return this.exeText;
  }

  args(): string {
    this.argsText ??= argsOf(this.pid);
    return this.argsText;
  }

  distrust(named: boolean): Distrust | undefined {
    const { facts } = this;
    if (facts === 'gone') return { kind: 'gone' };
    return named ? distrustNamed(facts) : distrust(facts, this.users);
  }

  /** Its effective user. */
  get uid(): number {
    return this.facts === 'gone' ? 0 : this.facts.uids[1]!;
  }

  private get facts(): ProcessFacts | 'gone' {
    this.known ??= readProcessFacts(this.pid, this.startTicks, this.agents) ?? 'gone';
    return this.known;
  }

  threadNames(): readonly string[] {
    this.threads ??= listThreads(this.pid).map((thread) => thread.name);
    return this.threads;
  }
}

function instanceOf(
  pid: number,
  { startTicks, uid }: Known,
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
  // One packet thread that may run anywhere makes every core a possible NF core: then none is certain.
  const bound = packet.every((thread) => thread.cores.length < online || online === 1);
  const cores = bound ? [...new Set(packet.flatMap((thread) => thread.cores))].sort((a, b) => a - b) : [];
  return { id: `${profile.name}-${pid}`, profile, pid, startTicks, uid, threads, cores };
}
