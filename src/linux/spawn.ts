/**
 * The one place where the product starts programs. Each gets the descriptors that its `stdio` names and no other:
 * they are marked in the same turn of the thread that starts it, so nothing that was open before can get through.
 */

import {
  type ExecFileOptions,
  execFile as nodeExecFile,
  execFileSync as nodeExecFileSync,
  spawn as nodeSpawn,
} from 'node:child_process';
import { promisify } from 'node:util';
import { closeOnExec } from './close-on-exec.js';

export type { ChildProcess, ExecFileException, SpawnOptions } from 'node:child_process';

const execFileInto = promisify(nodeExecFile);

export const spawn = ((...args: Parameters<typeof nodeSpawn>) => {
  closeOnExec();
  return nodeSpawn(...args);
}) as typeof nodeSpawn;

/** Runs a program to its end; rejects as node's own does, with its exit code and both outputs. */
export function execFile(
  file: string,
  args: readonly string[],
  options: ExecFileOptions = {},
): Promise<{ stdout: string | Buffer; stderr: string | Buffer }> {
  closeOnExec();
  return execFileInto(file, args, options);
}

export const execFileSync = ((...args: Parameters<typeof nodeExecFileSync>) => {
  closeOnExec();
  return nodeExecFileSync(...args);
}) as typeof nodeExecFileSync;
