/**
 * Child processes that cannot outlive this one, however it dies. The kernel kills them when the *thread* that started
 * them ends, so start them from the main thread. The shell in between closes the gap in which the parent
 * dies before the child has asked to be told.
 */

import { NemoError } from '../model/errors.js';
import { TextTail } from '../streams/text-tail.js';
import { OUTPUT } from '../tunables/index.js';
import { type ChildProcess, type SpawnOptions, spawn } from './spawn.js';

const CHECK_PARENT = 'test "$PPID" = "$0" && exec "$@"';

/** The command line that runs `command` tied to this process. Its pid becomes the command's own: all steps exec. */
export function tiedCommand(command: string, args: readonly string[]): [string, string[]] {
  return ['setpriv', ['--pdeathsig', 'KILL', ...whileParentLives(command, args)]];
}

/** Of such a command line, what follows once the kernel knows of the tie. */
export function whileParentLives(command: string, args: readonly string[]): string[] {
  return ['sh', '-c', CHECK_PARENT, String(process.pid), command, ...args];
}

/** In a session of its own: Ctrl-C in a terminal asks this process to end, which ends its children in its own order. */
export function spawnTied(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(...tiedCommand(command, args), { ...options, detached: true });
}

/** Runs a command to its end; resolves with its standard output, throws SYSCALL with its last words if it fails. */
export function runCommand(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawnTied(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const output = new TextTail(OUTPUT.maxChars);
    const complaint = new TextTail(OUTPUT.complaintMaxChars);
    child.stdout!.on('data', output.add);
    child.stderr!.on('data', complaint.add);
    child.on('error', (cause) => reject(notInstalled(cause)));
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output.text);
      else {
        const line = [command, ...args].join(' ');
        const details = { command: line, exit: code ?? String(signal) };
        reject(new NemoError('SYSCALL', `\`${line}\` failed: ${complaint.text.trim()}`, { details }));
      }
    });
  });
}

/** What spawn says when `setpriv` is missing. */
function notInstalled(cause: Error): NemoError {
  return new NemoError('MISSING_PACKAGE', cause.message, { cause, hint: 'apt install util-linux iproute2' });
}

/** Ends a child and resolves when it is gone; a child that is gone already is fine. */
export function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
    return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}
