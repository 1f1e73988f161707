/**
 * A function's file or folder -> its module and its packages. Built twice: once in one piece, to see which files take
 * part and how much of each, and once with the imports of packages pointed at where a sandbox has them.
 */

import { basename, join, relative, resolve } from 'node:path';
import type { Plugin } from 'esbuild';
import type { PackageInput } from '../model/package.js';
import { groupName, groupRoot, groupsToKeepApart, type PackageGroup, packageOf } from './apart.js';
import { build, runBuild, sourceAt, withRequire } from './bundle.js';
import { PACKAGES_DIRECTORY, packagePath, requireImported, sealPackage } from './pack.js';

/**
 * As `bundleFunction`, but packages that can be kept apart are, each as ES modules of its own: the code imports them by
 * their paths in a sandbox. The others are in the code as ever.
 */
export async function bundleApart(path: string): Promise<{ code: string; packages: PackageInput[] }> {
  const { source, shownName, folder } = await sourceAt(path);
  const whole = await build(source, shownName);
  const packages: PackageInput[] = [];
  const places = new Map<string, Place>();
  for (const group of await groupsToKeepApart(whole.metafile, folder)) {
    const made = await buildGroup(group, folder, shownName);
    const { hash } = sealPackage(made.input);
    packages.push(made.input);
    for (const [file, { entry, esm }] of made.entries) {
      places.set(resolve(folder, file), { path: packagePath(hash, entry), esm });
    }
  }
  if (packages.length === 0) return { code: whole.code, packages };
  const { code, imports } = await build({ ...source, plugins: [apartPlugin(places)] }, shownName);
  // What TypeScript imports for its types alone is gone.
  const used = packages.filter((one) => {
    const { hash } = sealPackage(one);
    return imports.some((to) => to.startsWith(`${PACKAGES_DIRECTORY}/${hash}/`));
  });
  requireImported(used.map(sealPackage), imports);
  return { code, packages: used };
}

/** Where a package's file is found in a sandbox; `esm`: it was an ES module before. */
interface Place {
  path: string;
  esm: boolean;
}

/** A package's modules, for all functions that have it. */
async function buildGroup(
  group: PackageGroup,
  folder: string,
  shownName: string,
): Promise<{ input: PackageInput; entries: Map<string, { entry: string; esm: boolean }> }> {
  const root = groupRoot(group, folder);
  const names = new Map<string, string>();
  for (const [file, specifier] of group.entries) {
    const plain = specifier.replace(/[^A-Za-z0-9_.@-]+/g, '_').replace(/^[^A-Za-z0-9_@]+/, '') || 'entry';
    names.set(file, [...names.values()].includes(plain) ? `${plain}_${names.size}` : plain);
  }
  const entryPoints = Object.fromEntries([...names].map(([file, name]) => [name, resolve(folder, file)]));
  const built = await runBuild(
    {
      ...{ entryPoints, absWorkingDir: root, outdir: join(root, 'packages') },
      ...{ splitting: true, chunkNames: 'shared-[hash]', outExtension: { '.js': '.mjs' } },
    },
    shownName,
  );
  const files: Record<string, string> = {};
  for (const { path, text } of built.outputFiles!) files[basename(path)] = withRequire(text);
  const entries = new Map<string, { entry: string; esm: boolean }>();
  for (const [file, name] of names) {
    const input = built.metafile!.inputs[relative(root, resolve(folder, file))];
    entries.set(file, { entry: `${name}.mjs`, esm: input?.format === 'esm' });
  }
  const input = {
    name: await groupName(group, folder),
    entries: [...names.values()].map((n) => `${n}.mjs`),
    files,
  };
  return { input, entries };
}

/** Own modules that import a package kept apart import it from its place. */
function apartPlugin(places: ReadonlyMap<string, Place>): Plugin {
  const asked = Symbol('asked');
  const namespace = 'nemo-package';
  return {
    name: 'nemo-apart',
    setup(build) {
      build.onResolve({ filter: /^\/function\/packages\// }, ({ path }) => ({ path, external: true }));
      build.onResolve({ filter: /^[^./]/ }, async ({ path, importer, kind, resolveDir, pluginData }) => {
        if (kind !== 'import-statement' || pluginData === asked || packageOf(importer) !== undefined) return;
        const found = await build.resolve(path, { kind, importer, resolveDir, pluginData: asked });
        const place = places.get(found.path);
        if (place === undefined) return;
        if (place.esm) return { path: place.path, external: true };
        // By another ending it would be taken for an ES module.
        return { path: `${place.path}.cjs`, namespace };
      });
      // Its exports stay what CommonJS code exports: named ones are looked up when they are used.
      build.onLoad({ filter: /./, namespace }, ({ path }) => ({
        contents: `import whole from ${JSON.stringify(path.replace(/\.cjs$/, ''))}; module.exports = whole;`,
        loader: 'js',
      }));
    },
  };
}
