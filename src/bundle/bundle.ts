/**
 * Function source -> the one ES module that a sandbox runs. The CLI bundles files and folders with their
 * dependencies; the agent checks what it is given, which may come from another client. In a sandbox there is
 * nothing to import but node's own modules, so whatever cannot be resolved is refused here, with its place.
 */

import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import type { BuildFailure, BuildOptions, BuildResult, Loader, Message, Metafile } from 'esbuild';
import { NemoError } from '../model/errors.js';
import { refuseStrayInputs } from './bundle-inputs.js';
import { PACKAGES_DIRECTORY } from './pack.js';
import { withLinesBefore } from './source-names.js';

const LOADERS: Record<string, Loader> = {
  '.js': 'js',
  '.mjs': 'js',
  '.cjs': 'js',
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
};
const INDEX_NAMES = Object.keys(LOADERS).map((ending) => `index${ending}`);

/** CommonJS dependencies call `require` for node's own modules, which an ES module does not have. */
const REQUIRE_BANNER =
  "import { createRequire as nemoCreateRequire } from 'node:module';\nconst require = nemoCreateRequire(import.meta.url);\n";

/**
 * Bundles a file (.js .mjs .cjs .ts .mts) or a folder (package.json's exports, module or main, else index.*).
 * Throws NOT_FOUND, or BAD_FUNCTION with file, line, column and the source line.
 */
export async function bundleFunction(path: string): Promise<{ code: string }> {
  const { source, shownName } = await sourceAt(path);
  return build(source, shownName);
}

/** What to build for a path, and the folder that its files are told from. */
export async function sourceAt(
  path: string,
): Promise<{ source: BuildOptions; folder: string; shownName: string }> {
  const entry = await findEntry(resolve(path));
  const folder = await realpath(dirname(entry));
  // Names in the source map are told from where the module would lie: in the folder that was given.
  const outfile = join((await kindOf(path)) === 'folder' ? await realpath(path) : folder, 'function.mjs');
  const source: BuildOptions = {
    ...{ entryPoints: [join(folder, basename(entry))], absWorkingDir: folder },
    outfile,
  };
  return { source, folder, shownName: basename(entry) };
}

/**
 * Checks one module and strips its types. `filename` is shown in errors, its ending says the language.
 * Throws BAD_FUNCTION as above, also for imports other than node's own modules and, with `packages`, of packages kept
 * apart; those are in `imports`.
 */
export async function checkFunction(
  code: string,
  filename: string,
  packages = false,
): Promise<{ code: string; imports: string[] }> {
  const loader = LOADERS[extname(filename)];
  if (loader === undefined)
    throw badFunction(`${filename} is not a JavaScript or TypeScript file`, endingHint());
  const external = packages ? [`${PACKAGES_DIRECTORY}/*`] : [];
  return build({ stdin: { contents: code, sourcefile: filename, loader }, external }, filename);
}

/** Builds that use esbuild's service process now: it is stopped after the last, so that it holds no memory. */
let building = 0;

export async function build(
  source: BuildOptions,
  shownName: string,
): Promise<{ code: string; imports: string[]; metafile: Metafile }> {
  const { outputFiles, metafile } = await runBuild(
    { outfile: 'function.mjs', ...source, sourcemap: 'inline', sourcesContent: false },
    shownName,
  );
  const outputs = Object.values(metafile!.outputs);
  const entries = outputs.flatMap(({ entryPoint }) => entryPoint ?? []);
  refuseStrayInputs(metafile!, source.absWorkingDir ?? process.cwd(), entries);
  const [output] = outputs;
  if (output !== undefined && !output.exports.includes('default')) {
    throw badFunction(
      `${shownName} has no default export`,
      'export default async (event, context) => ..., or export default { fetch(request) { ... } }',
    );
  }
  const imports = (output?.imports ?? []).filter(({ external }) => external).map(({ path }) => path);
  return { code: withRequire(outputFiles![0]!.text), imports: [...new Set(imports)], metafile: metafile! };
}

export async function runBuild(source: BuildOptions, shownName: string): Promise<BuildResult> {
  const esbuild = await import('esbuild');
  building++;
  try {
    return await esbuild.build({
      ...source,
      bundle: true,
      write: false,
      metafile: true,
      format: 'esm',
      platform: 'node',
      // Named, so that esbuild's own "module", which node does not know, is none. No "node-addons": none runs in a sandbox.
      conditions: ['module-sync'],
      target: 'node20',
      charset: 'utf8',
      logLevel: 'silent',
      define: { __dirname: '"/function"', __filename: '"/function/function.mjs"' },
    });
  } catch (thrown) {
    const message = (thrown as Partial<BuildFailure>).errors?.[0];
    if (message === undefined) throw thrown;
    throw describe(message, shownName);
  } finally {
    if (--building === 0) await esbuild.stop();
  }
}

/** What the CLI bundled already has the banner: the agent's check must not add another. */
export function withRequire(text: string): string {
  const bare = text.includes('__require = ') && !text.includes('nemoCreateRequire');
  return bare ? withLinesBefore(REQUIRE_BANNER, text) : text;
}

function describe(message: Message, shownName: string): NemoError {
  const { text, location } = message;
  const unresolved = /^Could not resolve "([^"]+)"/.exec(text)?.[1];
  let told = text;
  let hint: string | undefined;
  if (unresolved !== undefined) {
    told = `cannot find "${unresolved}"`;
    hint = /^[./]/.test(unresolved)
      ? 'deploy the folder or file with `nemo deploy`, which bundles what it imports'
      : `npm install ${unresolved}, then deploy with \`nemo deploy\`, which bundles it`;
  } else if (/"\.node" files/.test(text)) {
    told = `native addons do not run in a sandbox: ${/: (\S+)$/.exec(text)?.[1] ?? location?.lineText ?? ''}`;
    hint = 'use a package in pure JavaScript or WebAssembly';
  }
  if (location === null) return badFunction(`${shownName}: ${told}`, hint);
  const { file, line, column, lineText } = location;
  const shown = lineText.length <= 200 ? `\n  ${lineText}\n  ${' '.repeat(column)}^` : '';
  return badFunction(`${file}:${line}:${column + 1}: ${told}${shown}`, hint, {
    file,
    line,
    column: column + 1,
  });
}

function badFunction(message: string, hint?: string, details?: Record<string, string | number>): NemoError {
  return new NemoError('BAD_FUNCTION', message, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  });
}

function endingHint(): string {
  return `name it with one of ${Object.keys(LOADERS).join(' ')}; nemo deploy --exec takes programs of any language`;
}

async function findEntry(path: string): Promise<string> {
  const kind = await kindOf(path);
  if (kind === undefined) {
    throw new NemoError('NOT_FOUND', `there is no file or folder ${path}`, { hint: 'check the path' });
  }
  if (kind === 'file') {
    if (LOADERS[extname(path)] === undefined) {
      throw badFunction(`${path} is not a JavaScript or TypeScript file`, endingHint());
    }
    return path;
  }
  const named = await packageEntry(path);
  for (const name of named === undefined ? INDEX_NAMES : [named]) {
    if ((await kindOf(join(path, name))) === 'file') return join(path, name);
  }
  throw badFunction(
    named === undefined
      ? `${path} has no package.json with an entry and no ${INDEX_NAMES.join(', ')}`
      : `${join(path, 'package.json')} names ${named}, which is not there`,
    'name the file to run as "main" in package.json',
  );
}

/** The entry that package.json names, or undefined. */
async function packageEntry(folder: string): Promise<string | undefined> {
  const file = join(folder, 'package.json');
  if ((await kindOf(file)) === undefined) return undefined;
  let manifest: { exports?: unknown; module?: unknown; main?: unknown };
  try {
    manifest = JSON.parse(await readFile(file, 'utf8')) as typeof manifest;
  } catch (error) {
    throw badFunction(`${file} is not valid JSON: ${(error as Error).message}`);
  }
  for (const candidate of [
    exportedEntry(manifest.exports) ?? exportedEntry(manifest.exports, REQUIRED),
    manifest.module,
    manifest.main,
  ]) {
    if (typeof candidate === 'string') return candidate;
  }
  return undefined;
}

/** Of a module that is imported; one that only `require` finds runs as well. */
const IMPORTED: ReadonlySet<string> = new Set(['import', 'node', 'module-sync', 'default']);
const REQUIRED: ReadonlySet<string> = new Set(['require', ...IMPORTED]);

/** As node resolves `exports`: the first condition that holds, in the order of the file. */
function exportedEntry(exports: unknown, conditions = IMPORTED): string | undefined {
  if (typeof exports === 'string') return exports;
  if (typeof exports !== 'object' || exports === null) return undefined;
  const targets = exports as Record<string, unknown>;
  const keys = Array.isArray(exports)
    ? Object.keys(exports)
    : Object.keys(targets).filter((key) => key === '.' || conditions.has(key));
  for (const key of keys) {
    const found = exportedEntry(targets[key], conditions);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch {
    return undefined;
  }
}
