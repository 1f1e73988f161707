/**
 * Packages that a stem imports before it knows its function, and what they do meanwhile: one that depends on what only
 * the function brings (its environment), or that leaves something behind, must be imported with the function instead.
 */

import type { Buffer } from 'node:buffer';
import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { runInNewContext } from 'node:vm';

/** As `AheadReport` in engine.ts. */
export interface Ahead {
  cpuMs: number;
  bytes: number;
  reads: string[];
  readsAll: boolean;
  effect?: string;
}

const PACKAGES = '/function/packages';
/** Node loads its fetch with the first use of one of these, some 30 ms of CPU. */
const WEB = ['Response', 'Request', 'Headers', 'FormData', 'fetch('];
const IMPORTS = /\b(?:from|import|require)\s*\(?\s*["']([\w:/]+)["']/g;

const ownNames = Object.getOwnPropertyNames;
const ownSymbols = Object.getOwnPropertySymbols;
const descriptorOf = Object.getOwnPropertyDescriptor;

export function usesWeb(source: Buffer): boolean {
  return WEB.some((name) => source.includes(name));
}

/** Of all packages that are there. */
export function packagesUseWeb(): boolean {
  for (const source of packageSources()) if (usesWeb(source)) return true;
  return false;
}

function* packageSources(): Generator<Buffer> {
  let files: string[];
  try {
    files = readdirSync(PACKAGES, { recursive: true }) as string[];
  } catch {
    return;
  }
  for (const file of files) if (file.endsWith('.mjs')) yield readFileSync(`${PACKAGES}/${file}`);
}

/** Rejects with whatever a package threw. */
export async function importAhead(paths: readonly string[]): Promise<Ahead> {
  if (packagesUseWeb()) void globalThis.Response;
  const directory = process.cwd();
  const unread = readNamedGlobals();
  const builtins = await measured(importBuiltins);
  const before = fingerprint(unread);
  const pendingBefore = process.getActiveResourcesInfo();
  const environment = watchEnvironment();
  const own = await measured(async () => {
    for (const path of paths) await import(path);
  });
  // What it began for later shows itself in the next turns.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  environment.stop();
  const pending = process.getActiveResourcesInfo().filter((kind) => kind !== 'Immediate');
  for (const kind of pendingBefore) if (pending.includes(kind)) pending.splice(pending.indexOf(kind), 1);
  const changed = difference(before, fingerprint(unread));
  const effect =
    changed !== undefined
      ? `changes ${changed}`
      : pending.length > 0
        ? `leaves something to do (${pending[0]})`
        : process.cwd() !== directory
          ? 'changes the working directory'
          : environment.written
            ? 'changes the environment'
            : undefined;
  return {
    cpuMs: builtins.cpuMs + own.cpuMs,
    bytes: builtins.bytes + own.bytes,
    reads: [...environment.reads],
    readsAll: environment.readsAll,
    ...(effect === undefined ? {} : { effect }),
  };
}

/** In place of process.env. Whoever keeps it has the environment of now, later too. */
function watchEnvironment() {
  const real = process.env;
  const seen = { reads: new Set<string>(), readsAll: false, written: false, stop };
  let watching = true;
  const read = (name: string | symbol): void => {
    if (watching && typeof name === 'string') seen.reads.add(name);
  };
  const wrote = (): void => {
    if (watching) seen.written = true;
  };
  const watched = new Proxy(real, {
    get(target, name) {
      read(name);
      return Reflect.get(target, name);
    },
    has(target, name) {
      read(name);
      return Reflect.has(target, name);
    },
    getOwnPropertyDescriptor(target, name) {
      read(name);
      return Reflect.getOwnPropertyDescriptor(target, name);
    },
    ownKeys(target) {
      if (watching) seen.readsAll = true;
      return Reflect.ownKeys(target);
    },
    set(target, name, value) {
      wrote();
      return Reflect.set(target, name, value);
    },
    defineProperty(target, name, descriptor) {
      wrote();
      return Reflect.defineProperty(target, name, descriptor);
    },
    deleteProperty(target, name) {
      wrote();
      return Reflect.deleteProperty(target, name);
    },
  });
  process.env = watched;
  function stop(): void {
    watching = false;
    process.env = real;
  }
  return seen;
}

async function measured(work: () => Promise<void>): Promise<{ cpuMs: number; bytes: number }> {
  const heldBefore = process.memoryUsage.rss();
  const spentBefore = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(spentBefore);
  return { cpuMs: (user + system) / 1000, bytes: Math.max(0, process.memoryUsage.rss() - heldBefore) };
}

/** Some of node's own modules change what is global when they are first loaded, which is not the package's doing. */
async function importBuiltins(): Promise<void> {
  const names = new Set<string>();
  for (const source of packageSources()) {
    for (const [, name] of source.toString('latin1').matchAll(IMPORTS)) names.add(name!);
  }
  for (const name of names) if (isBuiltin(name)) await import(name);
}

/**
 * Node puts much of what it adds to the language in place when it is first used, which is not the package's doing either.
 * Returns what no package names, and so none changes: from node 26 on even looking costs up to 40 ms and 20 MB.
 */
function readNamedGlobals(): Set<string> {
  const language = new Set(runInNewContext('Object.getOwnPropertyNames(globalThis)') as string[]);
  const added = ownNames(globalThis).filter((name) => !language.has(name));
  const pattern = new RegExp(`\\b(?:${added.join('|')})\\b`, 'g');
  const named = new Set<string>();
  for (const source of packageSources()) {
    for (const name of source.toString('latin1').match(pattern) ?? []) named.add(name);
  }
  // Classes; to look at some others, as localStorage, already does something.
  for (const name of named) if (/^[A-Z]/.test(name)) void Reflect.get(globalThis, name);
  return new Set(added.filter((name) => !named.has(name)));
}

/** What packages have in common with all other code: globals, and what everything inherits from. */
function fingerprint(unread: ReadonlySet<string>): Map<string, unknown> {
  const held = new Map<string, unknown>();
  const note = (name: string, of: object): void => {
    for (const key of [...ownNames(of), ...ownSymbols(of)]) {
      if (of === globalThis && unread.has(key as string)) {
        held.set(`${name}.${String(key)}`, 'not read');
        continue;
      }
      const descriptor = descriptorOf(of, key);
      // Node puts some of its own in place when they are used first.
      const value = descriptor?.get === undefined ? descriptor?.value : 'by a getter';
      held.set(`${name}.${String(key)}`, value);
    }
  };
  note('globalThis', globalThis);
  note('process', process);
  for (const name of ownNames(globalThis)) {
    if (unread.has(name)) continue;
    const value: unknown = descriptorOf(globalThis, name)?.value;
    if (typeof value !== 'function' && (typeof value !== 'object' || value === null)) continue;
    if (value === globalThis || value === process) continue;
    note(name, value);
    const inherited = (value as { prototype?: unknown }).prototype;
    if (typeof inherited === 'object' && inherited !== null) note(`${name}.prototype`, inherited);
  }
  return held;
}

/** The first name that differs. */
function difference(before: Map<string, unknown>, after: Map<string, unknown>): string | undefined {
  for (const [name, value] of after) {
    if (!before.has(name)) return name;
    const was = before.get(name);
    if (was !== 'by a getter' && !Object.is(was, value)) return name;
  }
  for (const name of before.keys()) if (!after.has(name)) return name;
  return undefined;
}
