/**
 * What every sandbox of an engine shares: the node binary with its libraries, the runner and the system call
 * filter. A sandbox's first program runs as an unprivileged user and must reach each of these through
 * directories open to all, so what lies elsewhere (a clone or an nvm under /root) is copied once.
 */

import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execFileSync } from '../linux/spawn.js';
import { NemoError } from '../model/errors.js';
import { seccompProgram } from './seccomp/program.js';
import type { Confinement } from './seccomp/rules.js';
import { layOutEtc } from './surroundings.js';

export const RUNNER_SOURCE = fileURLToPath(new URL('../runner/', import.meta.url));
/** Of the runner, wherever JavaScript runs. */
export const RUNNER_FILES = [
  ...['serve.js', 'calls.js', 'body-text.js', 'event.js', 'frames.js', 'reply.js', 'rehearse.js'],
  ...['charsets.js', 'link.js', 'primordials.js'],
];
const OWN_RUNNER_FILES = ['main.js', 'ahead.js', 'cgi.js', 'program.js', 'leftovers.js', 'program-io.js'];

export interface Runtime {
  /** Host path -> path inside, for files of the read-only root. */
  binds: ReadonlyArray<readonly [host: string, inside: string]>;
  nodeInside: string;
  runnerInside: string;
  seccompPath: string;
  /** Where each sandbox has an overlay over the host's /usr, with inodes and so with locks of its own; see launch.ts. */
  ownUsr?: { at: string; empty: string };
}

/** Makes `directory` (all of it is replaced). Throws SANDBOX_START with the way out. */
export function prepareRuntime(
  directory: string,
  nodePath = realpathSync(process.execPath),
  confinement: Confinement = 'processes',
): Runtime {
  rmSync(directory, { recursive: true, force: true });
  makeOpenDirectory(directory);
  const runner = join(directory, 'runner');
  makeOpenDirectory(runner);
  for (const file of [...OWN_RUNNER_FILES, ...RUNNER_FILES])
    writeOpen(join(runner, file), undefined, join(RUNNER_SOURCE, file));
  writeOpen(join(runner, 'package.json'), '{"type":"module"}');
  layOutEtc(runner);
  const seccompPath = join(directory, 'seccomp.bpf');
  writeFileSync(seccompPath, seccompProgram(confinement), { mode: 0o600 });

  let node = nodePath;
  if (!openToAll(dirname(nodePath))) {
    node = join(directory, 'node');
    copyFileSync(nodePath, node);
    chmodSync(node, 0o755);
  }
  const nodeInside = '/usr/bin/node';
  const binds: Array<readonly [string, string]> = [
    [node, nodeInside],
    [runner, '/runner'],
  ];
  for (const [inside, host] of librariesOf(nodePath)) binds.push([host, inside]);
  return { binds, nodeInside, runnerInside: '/runner/main.js', seccompPath };
}

/** Path by which the loader looks for it -> file. Empty for a static binary. */
export function librariesOf(program: string): Map<string, string> {
  const libraries = new Map<string, string>();
  let listing: string;
  try {
    listing = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return libraries;
  }
  for (const match of listing.matchAll(/(?:=>\s*)?(\/\S+)\s+\(0x/g)) {
    libraries.set(match[1]!, realpathSync(match[1]!));
  }
  return libraries;
}

/** A directory that every user may enter, whatever the umask. */
export function makeOpenDirectory(path: string, mode = 0o755): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
}

/** For an engine to lay out: open to all, and without what a dead agent left. Throws for one that users cannot reach. */
export function emptyOpenDirectory(path: string): void {
  makeOpenDirectory(path);
  requireReachable(path);
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true });
}

function writeOpen(path: string, text: string | undefined, from?: string): void {
  if (text === undefined) copyFileSync(from!, path);
  else writeFileSync(path, text);
  chmodSync(path, 0o644);
}

/** Whether any user may pass through `directory` and all above it. */
export function openToAll(directory: string): boolean {
  return closedAncestor(directory) === undefined;
}

/** The first directory on the way to `path` (itself included) that other users may not enter. */
export function closedAncestor(path: string): string | undefined {
  const above: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    above.unshift(at);
    if (at === dirname(at)) break;
  }
  return above.find((at) => (statSync(at).mode & 0o001) === 0);
}

/** Throws SANDBOX_START if a sandbox's user could not reach `directory`. */
export function requireReachable(directory: string): void {
  const closed = closedAncestor(directory);
  if (closed === undefined) return;
  throw new NemoError(
    'SANDBOX_START',
    `sandboxes cannot reach ${directory}: only its owner may enter ${closed}`,
    {
      hint: 'put the state directory under /var/lib or /run, or open that directory with chmod o+x',
      details: { directory, closed },
    },
  );
}
