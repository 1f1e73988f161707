/** Which NF a process is: profiles and explicit configuration, compiled to patterns. Pure: no procfs here. */

import { didYouMean } from '../model/did-you-mean.js';
import { NemoError } from '../model/errors.js';
import type { NfProfile } from '../model/nf-profile.js';
import type { ExplicitNf } from '../model/nf-profile-schema.js';
import { type Distrust, isStrangers } from './identity.js';

/** What can be known about a process; the costly parts are read only when a condition needs them. */
export interface Candidate {
  pid: number;
  startTicks: number;
  /** comm of the process. */
  name: string;
  exe(): string | undefined;
  /** Arguments joined by blanks. */
  args(): string;
  threadNames(): readonly string[];
  /** Why it is not trusted; `named`: the operator named its pid. */
  distrust(named: boolean): Distrust | undefined;
}

export interface Rule {
  profile: NfProfile;
  /** It has settings that hold for one process only, so it must not match two. */
  singular: boolean;
  pid: number | undefined;
  /** When the process started that `pid` names; undefined: there was none. */
  startTicks: number | undefined;
  process: RegExp | undefined;
  argsPattern: RegExp | undefined;
  thread: RegExp | undefined;
  pollArgs: RegExp | undefined;
  /** `main`: the main thread; undefined: every thread. */
  packetThreads: RegExp | 'main' | undefined;
}

/**
 * In order of precedence: pids, explicit patterns, then, unless `byProfile` is false, the profiles. `startOf` tells when
 * the process of a pid started. Throws BAD_CONFIG for an unknown profile.
 */
export function compileRules(
  profiles: readonly NfProfile[],
  explicit: readonly ExplicitNf[],
  byProfile: boolean,
  startOf: (pid: number) => number | undefined,
): Rule[] {
  const named = explicit.map((entry) => {
    const profile = profiles.find((candidate) => candidate.name === entry.profile);
    if (profile !== undefined) return compileExplicit(profile, entry, startOf);
    const names = profiles.map((candidate) => candidate.name);
    const near = didYouMean(entry.profile, names);
    throw new NemoError('BAD_CONFIG', `no NF profile is called ${entry.profile}`, {
      hint: near === undefined ? `known profiles: ${names.join(', ')}` : `did you mean ${near}?`,
    });
  });
  return [
    ...named.filter((rule) => rule.pid !== undefined),
    ...named.filter((rule) => rule.pid === undefined),
    ...(byProfile ? profiles.map((profile) => compile(profile, undefined)) : []),
  ];
}

function compileExplicit(
  profile: NfProfile,
  entry: ExplicitNf,
  startOf: (pid: number) => number | undefined,
): Rule {
  if (entry.pid === undefined && profile.match.kernel !== undefined) {
    throw new NemoError(
      'BAD_CONFIG',
      `nfs: ${profile.name} is not a process, so it cannot be found by itself`,
      {
        hint: 'give the `pid` of any process in its network namespace',
      },
    );
  }
  const rule = {
    ...compile({ ...profile, match: entry.match ?? profile.match, ...entry.overrides }, entry.pid),
    singular: isOfOneProcess(entry),
    startTicks: entry.pid === undefined ? undefined : startOf(entry.pid),
  };
  // The mode that the operator configured outranks the guess from the arguments.
  return entry.overrides?.mode === undefined ? rule : { ...rule, pollArgs: undefined };
}

/** Cores, interfaces, addresses and sockets belong to one NF; an SLO or a protection may be meant for many. */
function isOfOneProcess({ overrides = {} }: ExplicitNf): boolean {
  const { cores, latency, telemetry, sleepControl } = overrides;
  const ofOne = [cores, latency?.ingress, latency?.probe?.target, telemetry?.socket, sleepControl?.database];
  return ofOne.some((one) => one !== undefined);
}

function compile(profile: NfProfile, pid: number | undefined): Rule {
  const pattern = (text: string | undefined) => (text === undefined ? undefined : new RegExp(text));
  const { match, packetThreads } = profile;
  return {
    profile: withoutPollingFifo(profile),
    singular: false,
    pid,
    startTicks: undefined,
    process: pattern(match.process),
    argsPattern: pattern(match.args),
    thread: pattern(match.thread),
    pollArgs: pattern(profile.pollArgs),
    packetThreads: packetThreads === 'main' ? 'main' : pattern(packetThreads),
  };
}

/** A polling thread at FIFO would shut the kernel's own work out of its core; it needs no protection to stay there. */
function withoutPollingFifo(profile: NfProfile): NfProfile {
  if (profile.mode !== 'poll' || profile.protection.kind !== 'fifo') return profile;
  return { ...profile, protection: { kind: 'none' } };
}

/** `maybe`: only the thread names do not fit, and threads come later than the process. */
export type MatchResult = 'yes' | 'maybe' | 'no' | Distrust;

/**
 * Whether a process fits a rule, and if it does, whether it is trusted. A pid alone is enough: the operator chose it. Of a
 * stranger's process the name alone says whether it fits, and nothing where a rule goes by arguments only.
 */
export function judge(rule: Rule, candidate: Candidate): MatchResult {
  if (rule.pid !== undefined) {
    // Another process has got this number since: the operator did not mean that one.
    const isIt = rule.pid === candidate.pid && rule.startTicks === candidate.startTicks;
    return isIt ? (candidate.distrust(true) ?? 'yes') : 'no';
  }
  // A kernel NF has no process: the operator names one in its network namespace.
  if (rule.profile.match.kernel !== undefined) return 'no';
  if (rule.process !== undefined && !rule.process.test(candidate.name)) {
    const exe = candidate.exe();
    if (exe === undefined || !rule.process.test(exe)) return 'no';
  }
  const { argsPattern, thread } = rule;
  const distrust = candidate.distrust(false);
  // Before the arguments: to read them takes a lock on the memory of that process, which it may hold as long as it likes.
  if (distrust !== undefined && isStrangers(distrust))
    return rule.process === undefined && distrust.kind !== 'sandbox' ? 'no' : distrust;
  if (argsPattern !== undefined && !argsPattern.test(candidate.args())) return 'no';
  if (distrust !== undefined) return distrust;
  if (thread === undefined || candidate.threadNames().some((name) => thread.test(name))) return 'yes';
  return 'maybe';
}

/** The rule's profile in the mode in which a process with these arguments runs. */
export function profileFor(rule: Rule, args: string): NfProfile {
  if (rule.pollArgs === undefined || !rule.pollArgs.test(args)) return rule.profile;
  return withoutPollingFifo({ ...rule.profile, mode: 'poll' });
}
