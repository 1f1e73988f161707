/**
 * Installs Debian packages that NEMO needs, unattended. A package counts as installed when its programs are there,
 * wherever they came from, so no process is started where nothing is missing. Installing a server must not leave it
 * running.
 */

import { accessSync, closeSync, constants, existsSync, openSync, rmSync, statSync } from 'node:fs';
import { spawn } from '../linux/spawn.js';
import { NemoError } from '../model/errors.js';
import { TextTail } from '../streams/text-tail.js';
import { OUTPUT } from '../tunables/index.js';
import { findProgram, PACKAGE_PROGRAMS } from './programs.js';

export interface EnsureOptions {
  /** Gets a line for each step; not called when nothing is missing. */
  progress?: (line: string) => void;
}

const POLICY_PATH = '/usr/sbin/policy-rc.d';
const APT_OPTIONS = ['-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120'];
const OUTPUT_KEPT_LINES = 6;

/** Those of `names` that are not installed. */
export async function missingPackages(names: readonly string[]): Promise<string[]> {
  const unclear = names.filter((name) => {
    const programs: readonly string[] | undefined = PACKAGE_PROGRAMS[name as keyof typeof PACKAGE_PROGRAMS];
    return programs === undefined || !programs.every(findProgram);
  });
  if (unclear.length === 0 || findProgram('dpkg-query') === undefined) return unclear;
  const { output } = await run('dpkg-query', [
    '-W',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own format
    '-f=${Package} ${db:Status-Status}\\n',
    ...unclear,
  ]);
  return unclear.filter((name) => !output.split('\n').includes(`${name} installed`));
}

/** The command line for an operator. */
export function installLine(names: readonly string[]): string {
  return `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`;
}

/**
 * Installs what is missing and returns its names. Throws MISSING_PACKAGE, with the line to run as its hint, when
 * not root, without apt-get, or when apt fails.
 */
export async function ensurePackages(
  names: readonly string[],
  { progress = () => {} }: EnsureOptions = {},
): Promise<string[]> {
  const missing = await missingPackages(names);
  if (missing.length === 0) return [];
  if (process.geteuid?.() !== 0) throw cannotInstall(missing, 'only root may install them');
  if (findProgram('apt-get') === undefined) throw cannotInstall(missing, 'there is no apt-get here');

  progress(`installing ${missing.join(', ')} ...`);
  const startMs = performance.now();
  const { command, tidy } = await withoutServiceStarts(['apt-get', 'install', ...APT_OPTIONS, ...missing]);
  const install = () => run(command[0]!, command.slice(1));
  try {
    let result = await install();
    if (result.exitCode !== 0) {
      // No package lists yet, or stale ones: the usual state of a fresh machine.
      progress('refreshing the package lists ...');
      await run('apt-get', ['update', '-q', '-o', 'DPkg::Lock::Timeout=120']);
      result = await install();
    }
    if (result.exitCode !== 0) {
      const lines = result.output.trim().split('\n');
      const errors = lines.filter((line) => line.startsWith('E: '));
      const told = (errors.length > 0 ? errors : lines).slice(-OUTPUT_KEPT_LINES);
      throw cannotInstall(missing, `apt-get ended with ${result.exitCode}: ${told.join(' | ')}`);
    }
  } finally {
    tidy();
  }
  progress(`installed ${missing.join(', ')} in ${Math.ceil((performance.now() - startMs) / 1_000)} s`);
  return missing;
}

function cannotInstall(names: readonly string[], why: string): NemoError {
  return new NemoError('MISSING_PACKAGE', `not installed: ${names.join(', ')}; ${why}`, {
    hint: `As root: ${installLine(names)}`,
    details: { packages: names.join(' ') },
  });
}

/**
 * The command line that runs a command so that packages which it installs start no service: in a mount namespace of its
 * own, where the policy says no. An administrator's own policy stays. Nothing of it can outlive the command but an empty
 * file that says nothing, where there was none before.
 */
export async function withoutServiceStarts(
  command: readonly string[],
  policy = POLICY_PATH,
): Promise<{ command: readonly string[]; tidy: () => void }> {
  if (isExecutable(policy)) return { command, tidy: () => {} };
  // In a container without the right to mount, nothing starts services as a rule.
  if ((await run('unshare', ['--mount', 'true'])).exitCode !== 0) return { command, tidy: () => {} };
  if (!existsSync(policy)) closeSync(openSync(policy, 'ax', 0o644));
  return {
    command: ['unshare', '--mount', 'sh', '-c', FORBID_STARTS, 'sh', policy, ...command],
    tidy: () => {
      if (statSync(policy, { throwIfNoEntry: false })?.size === 0) rmSync(policy);
    },
  };
}

/** $1 where the policy is looked for, then the command. The mount exists only while the command runs. */
const FORBID_STARTS = `set -e
folder=$(mktemp -d) policy=$1
shift
mount -t tmpfs -o mode=700,size=64k nemo "$folder"
printf '#!/bin/sh\\nexit 101\\n' > "$folder/policy"
chmod 755 "$folder/policy"
mount --bind "$folder/policy" "$policy"
umount "$folder"
rmdir "$folder"
exec "$@"`;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Never rejects: a program that cannot be started has exit code 127. Both outputs come as one text. */
export function run(command: string, args: readonly string[]): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    });
    const output = new TextTail(OUTPUT.maxChars);
    child.stdout.on('data', output.add);
    child.stderr.on('data', output.add);
    child.once('error', (error) => resolve({ exitCode: 127, output: error.message }));
    child.once('close', (code) => resolve({ exitCode: code ?? 128, output: output.text }));
  });
}
