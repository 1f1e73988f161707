/**
 * A shell that waits for the agent's death and then puts the NFs' scheduling back and removes the sandboxes' groups:
 * also after `kill -9`, also if no agent ever starts again. It waits on a pipe whose other end only the agent holds,
 * so it costs nothing and cannot be wrong about the death. It has its own session, so a signal to the agent's process
 * group spares it.
 */

import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isOwnProcess, listPids, processArgs } from '../linux/process.js';
import { type ChildProcess, spawn } from '../linux/spawn.js';
import { NemoError } from '../model/errors.js';
import { NF } from '../tunables/index.js';
import { MEMORY_MIN, MEMORY_SED } from './memory-journal.js';
import { OOM_SCORES } from './oom-scores.js';
import { RECORD_SED } from './settings-journal.js';

const NAME = 'nemo-guardian';

/**
 * $1 the journal, $2 the agent's pid, $3 the file that names the agent of now, $4 the journal of settings of NFs, from $5
 * on the groups. Descriptor 3 is the agent's guard file: while it is open, no other agent takes over what is put back here.
 * Needs only util-linux and sed, which every Debian has. The sandboxes die by themselves, with the agent; but a frozen one
 * only does when it is thawed, and a group can be removed only then.
 */
const SCRIPT = `
set -f
trap '' HUP INT TERM
{ echo -1000 > /proc/self/oom_score_adj; } 2>/dev/null
journal=$1 agent=$2 claim=$3 settings=$4
shift 4
sweep() {
  cores=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    left=
    for group; do
      [ -d "$group" ] || continue
      # The next agent of this name has come: the groups are its own now. A claim that is gone is nobody's.
      now=$(cat "$claim" 2>/dev/null)
      [ -z "$now" ] || [ "$now" = "$agent" ] || return
      find "$group" -name freezer.state -exec sh -c 'echo THAWED > "$1"' - {} \\;
      find "$group" -mindepth 1 -name cgroup.freeze -exec sh -c 'echo 0 > "$1"' - {} \\;
      # To die takes time of a core: no quota, and a core that no NF keeps for itself. This shell has the agent's own.
      find "$group" -mindepth 2 -name cpu.cfs_quota_us -exec sh -c 'echo -1 > "$1"' - {} \\;
      find "$group" -mindepth 2 -name cpu.max -exec sh -c 'echo max > "$1"' - {} \\;
      [ "$i" -gt 1 ] && find "$group" -mindepth 2 -name cpuset.cpus -exec sh -c 'echo "$2" > "$1"' - {} "$cores" \\; 2>/dev/null
      # A launcher that died between two steps leaves one that waits for it: the kernel told nobody of that one.
      [ "$i" -gt 3 ] && find "$group" -name cgroup.procs -exec sort -u {} + |
        while read -r pid; do kill -9 "$pid"; done 2>/dev/null
      find "$group" -depth -type d -exec rmdir {} \\; 2>/dev/null
      [ -d "$group" ] && left=1
    done
    [ -z "$left" ] && return
    sleep 0.1
  done
}
echo ready
exec >/dev/null
while read -r _; do :; done
names_us() {
  [ "$(sed -n 1p "$1" 2>/dev/null)" = "agent $agent" ]
}
# Lines "pid start ours score"; the first one names the agent. Children that inherited the score get the old one too.
restore_scores() {
  scores=\${journal%/*}/${OOM_SCORES}
  names_us "$scores" || return
  sed -n '/^[0-9]* [0-9]* -\\{0,1\\}[0-9]* -\\{0,1\\}[0-9]*$/p' "$scores" |
  while read -r pid ticks ours score; do
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
    set -- \${stat##*) }
    [ "\${20}" = "$ticks" ] || continue
    names_us "$scores" || break
    for one in $(set +f; grep -ls "^PPid:[[:space:]]*$pid$" /proc/[0-9]*/status) "/proc/$pid/status"; do
      [ "$(cat "\${one%/status}/oom_score_adj" 2>/dev/null)" = "$ours" ] || continue
      { echo "$score" >"\${one%/status}/oom_score_adj"; } 2>/dev/null
    done
  done
  names_us "$scores" && rm -f "$scores"
}
# Lines "path before now" of cgroups; only where it is still what NEMO wrote.
restore_memory() {
  groups=\${journal%/*}/${MEMORY_MIN}
  names_us "$groups" || return
  sed -n '${MEMORY_SED}' "$groups" |
  while read -r group before now; do
    case $group/ in */../* | */./*) continue ;; esac
    names_us "$groups" || break
    [ "$(cat "$group/memory.min" 2>/dev/null)" = "$now" ] || continue
    { echo "$before" >"$group/memory.min"; } 2>/dev/null
  done
  names_us "$groups" && rm -f "$groups"
}
is_ours() {
  head -n 1 "$1" 2>/dev/null | grep -q "^{\\"agent\\":$agent,"
}
restore() {
  restore_scores
  restore_memory
  is_ours "$journal" || return
  sed -n 's/^{"tid":\\([0-9]*\\),"startTicks":\\([0-9]*\\),"policy":"\\([a-z]*\\)","priority":\\([0-9]*\\),"nice":\\(-\\{0,1\\}[0-9]*\\),"resetOnFork":\\([a-z]*\\)}.*/\\1 \\2 \\3 \\4 \\5 \\6/p' "$journal" |
  while read -r tid ticks policy priority nice reset; do
    stat=$(cat "/proc/$tid/stat" 2>/dev/null) || continue
    set -- \${stat##*) }
    [ "\${20}" = "$ticks" ] || continue
    # The next agent may come at any moment: then it has put this back itself, and what is there now is its own.
    is_ours "$journal" || break
    flag=; [ "$reset" = true ] && flag=--reset-on-fork
    chrt "--$policy" $flag --pid "$priority" "$tid"
    renice --priority "$nice" --pid "$tid"
  done
  is_ours "$journal" && rm -f "$journal"
}
restore
# One fixed command a kind of record: a path and a number come from the journal, nothing else.
set_back() {
  sed -n '${RECORD_SED}' "$settings" | {
    failed=0
    while read -r database old; do
      is_ours "$settings" || break
      case $old in
        null) set -- remove Open_vSwitch . other_config pmd-maxsleep ;;
        '' | *[!0-9]*) continue ;;
        *) set -- set Open_vSwitch . "other_config:pmd-maxsleep=$old" ;;
      esac
      timeout 10 ovs-vsctl --timeout=${NF.askTimeoutS} --no-wait "--db=unix:$database" "$@" </dev/null || failed=1
    done
    exit $failed
  }
}
# An NF's control program may be slow on a busy box. What cannot be put back is left for the next agent.
for i in 1 2 3 4 5 6 7 8 9 10; do
  is_ours "$settings" || break
  set_back && is_ours "$settings" && rm -f "$settings" && break
  sleep 0.5
done
exec 3>&-
sweep "$@"
`;

const RESPAWN_MS = 1_000;

/** What a guardian puts in order when this process dies. */
export interface Watched {
  /** Of NF threads whose scheduling was changed. */
  journal: string;
  /** Of what NFs were asked to do. */
  settings?: string;
  /** Descriptor of a locked file, held until everything of NFs is put back. */
  lockFd?: number;
  /** A file with the pid of the agent to which `groups` belong now. */
  claim?: string;
  /** Root directories of cgroups to remove. */
  groups?: readonly string[];
}

export class Guardian {
  private child: ChildProcess | undefined;
  private respawn: NodeJS.Timeout | undefined;
  private startedMs = 0;

  private constructor(private readonly watched: Watched) {}

  /** Once resolved, the journal is acted upon when this process dies. Rejects with MISSING_PACKAGE without a shell. */
  static async watch(watched: Watched): Promise<Guardian> {
    const guardian = new Guardian(watched);
    const child = guardian.start();
    await new Promise<void>((resolve, reject) => {
      child.stdout!.once('data', () => resolve());
      child.once('error', (cause) =>
        reject(
          new NemoError('MISSING_PACKAGE', '/bin/sh cannot be started', { cause, hint: 'apt install dash' }),
        ),
      );
      child.once('exit', () =>
        reject(new NemoError('INTERNAL', 'the guardian of NF scheduling did not start')),
      );
    });
    letRun(child);
    return guardian;
  }

  /** 0 while there is none. */
  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** Lets it go. Call it when the journal is gone: what it still holds is put back now. */
  close(): Promise<void> {
    clearTimeout(this.respawn);
    const { child } = this;
    this.child = undefined;
    if (child === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      child.ref();
      child.once('exit', () => resolve());
      child.stdin!.end();
    });
  }

  private start(): ChildProcess {
    const { journal, claim = '', settings = '', groups = [], lockFd = 'ignore' } = this.watched;
    const parameters = [journal, String(process.pid), claim, settings, ...groups];
    const child = spawn('/bin/sh', ['-c', SCRIPT, NAME, ...parameters], {
      cwd: '/',
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['pipe', 'pipe', 'ignore', lockFd],
    });
    this.child = child;
    this.startedMs = performance.now();
    child.on('error', () => this.lost(child));
    child.on('exit', () => this.lost(child));
    child.stdin!.on('error', () => undefined);
    return child;
  }

  /** Somebody killed it: there must be one as long as anything is protected. */
  private lost(child: ChildProcess): void {
    if (this.child !== child) return;
    this.child = undefined;
    // At once, for the agent may be killed next; but one that cannot live is not started without end.
    const waitMs = Math.max(0, RESPAWN_MS - (performance.now() - this.startedMs));
    this.respawn = setTimeout(() => letRun(this.start()), waitMs).unref();
  }
}

/** It must not keep this process from ending. */
function letRun(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdin!, child.stdout!]) (stream as unknown as Socket).unref();
}

/**
 * Resolves when the guardian of an agent that has ended is done: until then it may need the agent's folders. False:
 * it was still at work after `limitMs`.
 */
export async function guardianDone(agentPid: number, limitMs = 30_000): Promise<boolean> {
  const isIts = (pid: number): boolean => {
    const args = processArgs(pid);
    const at = args.indexOf(NAME);
    return at > 0 && args[at + 2] === String(agentPid);
  };
  // Of this user's own: a stranger's process may keep who reads its arguments waiting.
  const pids = listPids().filter((pid) => isOwnProcess(pid) && isIts(pid));
  for (const end = performance.now() + limitMs; pids.some(isIts); await delay(20)) {
    if (performance.now() > end) return false;
  }
  return true;
}
