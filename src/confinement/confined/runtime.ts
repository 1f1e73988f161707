/**
 * What confined programs see of this host, each only what it needs: node with its libraries, its own one file, and the
 * bundler where it bundles. What lies where an unprivileged user may not pass is copied once.
 */

import { chmodSync, copyFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { librariesOf, makeOpenDirectory, openToAll, type Runtime } from '../runtime.js';
import { seccompProgram } from '../seccomp/program.js';
import type { Confinement } from '../seccomp/rules.js';
import { BUNDLER_BINARY_INSIDE } from './protocol.js';

/** `bundler`: sees esbuild, which is a program of its own, and starts it. Only who starts programs or writes files may. */
const PROGRAMS = {
  bundle: { source: 'bundle/bundle-main.js', bundler: true, confinement: 'processes' },
  wasm: { source: 'engine/wasm/wasm-main.js', bundler: false, confinement: 'threads' },
  inflate: { source: 'images/confined/inflate-main.js', bundler: false, confinement: 'threads' },
  index: { source: 'images/confined/index-main.js', bundler: false, confinement: 'threads' },
  unpack: { source: 'images/confined/unpack-main.js', bundler: false, confinement: 'files' },
} as const;
export type ProgramName = keyof typeof PROGRAMS;
export type ConfinedRuntimes = Record<ProgramName, Runtime>;

const SOURCE = fileURLToPath(new URL('../../', import.meta.url));
const NODE_INSIDE = '/usr/bin/node';
const BUNDLER_INSIDE = '/esbuild/lib/main.js';

/** Makes `directory`; all of it is replaced. */
export async function prepareConfinedRuntimes(directory: string): Promise<ConfinedRuntimes> {
  rmSync(directory, { recursive: true, force: true });
  makeOpenDirectory(directory);
  const reachable = (file: string, name: string): string => {
    if (openToAll(dirname(file))) return file;
    const copy = join(directory, name);
    copyFileSync(file, copy);
    chmodSync(copy, 0o755);
    return copy;
  };
  const nodePath = realpathSync(process.execPath);
  const common: Array<readonly [string, string]> = [[reachable(nodePath, 'node'), NODE_INSIDE]];
  for (const [inside, host] of librariesOf(nodePath)) common.push([host, inside]);
  const { main, binary } = bundlerFiles();
  const bundler = [
    [reachable(main, 'main.js'), BUNDLER_INSIDE],
    [reachable(binary, 'esbuild'), BUNDLER_BINARY_INSIDE],
  ] as const;
  const filterOf = (confinement: Confinement): string => {
    const path = join(directory, `${confinement}.bpf`);
    writeFileSync(path, seccompProgram(confinement), { mode: 0o600 });
    return path;
  };
  const { build, stop } = await import('esbuild');
  const runtimes = await Promise.all(
    Object.entries(PROGRAMS).map(async ([name, { source, bundler: bundles, confinement }]) => {
      const outfile = join(directory, `${name}.cjs`);
      await build({
        ...{ entryPoints: [join(SOURCE, source)], outfile, bundle: true, platform: 'node' },
        ...{ format: 'cjs', target: 'node20', logLevel: 'silent' },
        ...{ alias: { esbuild: BUNDLER_INSIDE }, external: [BUNDLER_INSIDE] },
      });
      chmodSync(outfile, 0o644);
      const runnerInside = `/program/${name}.cjs`;
      const binds = [...common, [outfile, runnerInside] as const, ...(bundles ? bundler : [])];
      return [name, { binds, nodeInside: NODE_INSIDE, runnerInside, seccompPath: filterOf(confinement) }];
    }),
  ).finally(stop);
  return Object.fromEntries(runtimes) as ConfinedRuntimes;
}

function bundlerFiles(): { main: string; binary: string } {
  const require = createRequire(import.meta.url);
  const main = realpathSync(require.resolve('esbuild'));
  const own = createRequire(main);
  return { main, binary: realpathSync(own.resolve(`@esbuild/linux-${process.arch}/bin/esbuild`)) };
}
