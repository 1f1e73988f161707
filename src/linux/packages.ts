/**
 * Installs Debian packages that NEMO needs, unattended. A package counts as there when its programs are, however
 * they came: costs no process where nothing is missing. Installing a server must not leave it running: a
 * policy-rc.d says no to that meanwhile, and says nothing any more once this process is gone, so that a kill -9
 * leaves no trap.
 */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { NemoError } from '../errors.js';
import { TextTail } from '../streams/text-tail.js';
import { OUTPUT } from '../tunables.js';
import { findProgram, PACKAGE_PROGRAMS } from './programs.js';

export interface EnsureOptions {
  /** Told what is going on, one line each; nothing is said when nothing is missing. */
  progress?: (line: string) => void;
}

const POLICY_PATH = '/usr/sbin/policy-rc.d';
const POLICY_MARK = 'Written by nemo';
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

/** The line that a person would type. */
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
  const restore = forbidServiceStarts();
  try {
    let result = await run('apt-get', ['install', ...APT_OPTIONS, ...missing]);
    if (result.exitCode !== 0) {
      // No package lists yet, or stale ones: the usual state of a fresh machine.
      progress('refreshing the package lists ...');
      await run('apt-get', ['update', '-q', '-o', 'DPkg::Lock::Timeout=120']);
      result = await run('apt-get', ['install', ...APT_OPTIONS, ...missing]);
    }
    if (result.exitCode !== 0) {
      const lines = result.output.trim().split('\n');
      const errors = lines.filter((line) => line.startsWith('E: '));
      const told = (errors.length > 0 ? errors : lines).slice(-OUTPUT_KEPT_LINES);
      throw cannotInstall(missing, `apt-get ended with ${result.exitCode}: ${told.join(' | ')}`);
    }
  } finally {
    restore();
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

/** An administrator's own policy stays; one of ours, left by a kill, is replaced. Returns what undoes it. */
function forbidServiceStarts(): () => void {
  const oneIsThere = existsSync(POLICY_PATH);
  if (oneIsThere && !readFileSync(POLICY_PATH, 'utf8').includes(POLICY_MARK)) return () => {};
  const script = [
    '#!/bin/sh',
    `# ${POLICY_MARK} (process ${process.pid}) while it installs packages, without effect after that.`,
    `[ -d /proc/${process.pid} ] && exit 101`,
    'exit 0',
    '',
  ].join('\n');
  writeFileSync(POLICY_PATH, script, { mode: 0o755 });
  const remove = () => rmSync(POLICY_PATH, { force: true });
  process.once('exit', remove);
  return () => {
    process.off('exit', remove);
    remove();
  };
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
