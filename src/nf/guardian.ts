/**
 * A shell that waits for the agent's death and then puts the NFs' scheduling back: also after `kill -9`, also if no
 * agent ever starts again. It waits on a pipe whose other end only the agent holds, so it costs nothing and cannot be
 * wrong about the death. It has its own session, so a signal to the agent's process group spares it.
 */

import { type ChildProcess, spawn } from 'node:child_process';

/** $1 the journal, $2 the agent's pid. Needs only util-linux and sed, which every Debian has. */
const SCRIPT = `
set -f
trap '' HUP INT TERM
{ echo -1000 > /proc/self/oom_score_adj; } 2>/dev/null
journal=$1 agent=$2
while read -r _; do :; done
head -n 1 "$journal" 2>/dev/null | grep -q "^{\\"agent\\":$agent," || exit 0
sed -n 's/^{"tid":\\([0-9]*\\),"startTicks":\\([0-9]*\\),"policy":"\\([a-z]*\\)","priority":\\([0-9]*\\),"nice":\\(-\\{0,1\\}[0-9]*\\),"resetOnFork":\\([a-z]*\\)}.*/\\1 \\2 \\3 \\4 \\5 \\6/p' "$journal" |
while read -r tid ticks policy priority nice reset; do
  stat=$(cat "/proc/$tid/stat" 2>/dev/null) || continue
  set -- \${stat##*) }
  [ "\${20}" = "$ticks" ] || continue
  flag=; [ "$reset" = true ] && flag=--reset-on-fork
  chrt "--$policy" $flag --pid "$priority" "$tid"
  renice --priority "$nice" --pid "$tid"
done
rm -f "$journal"
`;

const RESPAWN_MS = 1_000;

export class Guardian {
  private child: ChildProcess | undefined;
  private respawn: NodeJS.Timeout | undefined;

  /** From now on the journal is acted upon when this process dies. */
  constructor(private readonly journal: string) {
    this.start();
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

  private start(): void {
    const child = spawn('/bin/sh', ['-c', SCRIPT, 'nemo-guardian', this.journal, String(process.pid)], {
      cwd: '/',
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.child = child;
    child.on('error', () => this.lost(child));
    child.on('exit', () => this.lost(child));
    child.stdin!.on('error', () => undefined);
    child.unref();
    (child.stdin as unknown as { unref(): void }).unref();
  }

  /** Somebody killed it: there must be one as long as anything is protected. */
  private lost(child: ChildProcess): void {
    if (this.child !== child) return;
    this.child = undefined;
    this.respawn = setTimeout(() => this.start(), RESPAWN_MS).unref();
  }
}
