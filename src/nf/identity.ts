/**
 * Whom NEMO believes that it is an NF: what root runs from a file that only root can write. A name, a title, arguments and
 * thread names are whatever a process says of itself, so they choose among processes that are trusted, and prove nothing.
 * Pure: linux/process-facts gathers what is judged here.
 */

import type { ProcessFacts } from '../linux/process-facts.js';

/** Why a process is not trusted. */
export type Distrust =
  /** It runs in a cgroup of an agent: it is a function, whatever else it is. */
  | { kind: 'sandbox' }
  /** Its user namespace is not the agent's: what is root in there may be anybody out here. */
  | { kind: 'namespace' }
  | { kind: 'user'; uid: number }
  | { kind: 'executable'; why: string }
  /** Only root may look at it. */
  | { kind: 'unreadable' }
  | { kind: 'gone' };

/** For a process that the operator names by pid: only functions are refused. */
export function distrustNamed({ ofAgent }: Pick<ProcessFacts, 'ofAgent'>): Distrust | undefined {
  return ofAgent ? { kind: 'sandbox' } : undefined;
}

/** For a process that is found by what it is called. `users`: who may run NFs beside root. */
export function distrust(facts: ProcessFacts, users: ReadonlySet<number>): Distrust | undefined {
  const { ofAgent, userNamespace, uids, executable, master } = facts;
  if (ofAgent) return { kind: 'sandbox' };
  if (userNamespace === 'other') return { kind: 'namespace' };
  // All four: of a set-user-ID program, only some are root's.
  const stranger = uids.find((uid) => uid !== 0 && !users.has(uid));
  if (stranger !== undefined) {
    // A master that root runs gives its workers a user without rights. One that it forked, and that has executed nothing
    // since, still runs the master's code.
    const isWorker =
      master?.uids.every((uid) => uid === 0) &&
      master.executable?.id === executable?.id &&
      distrust({ ...master, master: undefined }, users) === undefined;
    return isWorker ? undefined : { kind: 'user', uid: stranger };
  }
  if (userNamespace === 'unknown' || executable === undefined) return { kind: 'unreadable' };
  return executable.writable === undefined ? undefined : { kind: 'executable', why: executable.writable };
}

/** Its code is neither root's nor that of one of `nfUsers`, whatever file it is. */
export function isStrangers({ kind }: Distrust): boolean {
  return kind === 'sandbox' || kind === 'namespace' || kind === 'user';
}

/** Functions may use any name: that is not worth a warning. */
export function isWorthReporting(why: Distrust): boolean {
  return why.kind !== 'sandbox' && why.kind !== 'gone';
}

/** A sentence for the operator: `firewall` is the profile whose conditions the process fits. */
export function distrustText(pid: number, profile: string, why: Distrust): string {
  const because = {
    sandbox: () => 'it is a function',
    namespace: () => 'it lives in a user namespace of its own',
    user: () => `user ${(why as { uid: number }).uid} runs it, neither root nor one of \`nfUsers\``,
    executable: () => (why as { why: string }).why,
    gone: () => 'it has ended',
    unreadable: () => 'only root can see what it executes',
  }[why.kind]();
  return `process ${pid} looks like ${profile}, but ${because}: if it is one, name its pid under \`nfs\``;
}
