/**
 * The functions of this box. Code is on disk before the spec is in the store, and the spec is in the store
 * before anybody hears of it: after kill -9 at any point there is no spec without its code. Changes run one
 * after the other, so that no sweep removes a bundle that a deploy is about to name.
 */

import { totalmem } from 'node:os';
import { NemoError } from '../errors.js';
import type { DeployInput, FunctionRegistry } from '../gateway/platform.js';
import type { Artifact, Asker, FunctionSource } from '../sandbox/engine.js';
import { PACKAGE_ENDING, type PackageRef } from '../sandbox/packages/pack.js';
import type { StorageQuota } from '../sandbox/storage-quota.js';
import type { Store } from '../store/store.js';
import { FUNCTION_LIMITS } from '../tunables.js';
import { BundleFiles } from './bundle-files.js';
import { checkDeployInput } from './deploy-input.js';
import type { FunctionSpec } from './function.js';
import { toSpec } from './stored-spec.js';

/** An engine's part of a deploy: `Engines.prepare`. */
export type PrepareFunction = (engine: string, source: FunctionSource) => Promise<Artifact>;

export interface RegistryOptions {
  store: Store;
  bundleDir: string;
  prepare: PrepareFunction;
  /** What all that is stored may take. Default: no bound of its own. */
  quota?: StorageQuota;
  /** How long a replaced bundle stays on disk. */
  bundleGraceMs?: number;
}

export interface StoredRegistry extends FunctionRegistry {
  /** What could not be brought back from the store, in words. */
  readonly warnings: readonly string[];
  /** Waits for changes under way and stops the timers. The store stays open. */
  close(): Promise<void>;
}

const TABLE = 'functions';

/** Brings back every stored function whose code is intact. STORE if the store cannot be read. */
export async function createRegistry(options: RegistryOptions): Promise<StoredRegistry> {
  const registry = new Registry(options);
  await registry.restore();
  return registry;
}

class Registry implements StoredRegistry {
  readonly warnings: string[] = [];
  /** Warnings beyond those. */
  private unnamed = 0;
  private readonly specs = new Map<string, FunctionSpec>();
  /** What each spec takes, and all of them. */
  private readonly specBytes = new Map<string, number>();
  private specsBytes = 0;
  private readonly listeners: Array<(name: string, spec: FunctionSpec | undefined) => void> = [];
  private readonly bundles: BundleFiles;
  /** Hashes that the store names although their function could not be brought back. */
  private readonly orphans = new Set<string>();
  private changes: Promise<unknown> = Promise.resolve();
  private sweepTimer: NodeJS.Timeout | undefined;
  /** Hashes that functions named before, and when they did so last: a sandbox may be loading that code just now. */
  private readonly replaced = new Map<string, number>();

  constructor(private readonly options: RegistryOptions) {
    this.bundles = new BundleFiles(options.bundleDir, options.quota);
  }

  async restore(): Promise<void> {
    // Many functions may have the same code: it is read once.
    const looked = new Map<string, Promise<boolean>>();
    for (const { key, value } of await this.options.store.list<unknown>(TABLE)) {
      const spec = toSpec(value, key, totalmem());
      const named = JSON.stringify(key.slice(0, 80));
      if (spec === undefined) {
        this.warn(`what the store has under functions/${named} is no function: deploy it again`);
      } else if (!this.hasRoom(key, spec)) {
        this.warn(`function ${named} is beyond what this box holds: remove others and deploy it again`);
      } else if (await this.intact(spec, looked)) {
        this.keep(key, spec);
      } else {
        for (const hash of hashesOf(spec)) this.orphans.add(hash);
        this.warn(`the code of function '${key}' is missing or damaged: deploy it again`);
      }
    }
    const more = this.unnamed === 0 ? [] : [`${this.unnamed} more functions of the store are not used`];
    this.warnings.push(...more);
    await this.sweep();
  }

  /** They are shown to everybody who looks: not as many as somebody else can store. */
  private warn(message: string): void {
    if (this.warnings.length < FUNCTION_LIMITS.restoreWarningsMax) this.warnings.push(message);
    else this.unnamed++;
  }

  async deploy(input: DeployInput, asker?: Asker): Promise<{ spec: FunctionSpec; created: boolean }> {
    const { content, filename, exec, packages, ...checked } = checkDeployInput(input, totalmem());
    const functionName = checked.name;
    const egress = checked.egress !== undefined;
    const artifact = await this.options.prepare(checked.engine, {
      functionName,
      content,
      filename,
      egress,
      asker,
      ...(exec === undefined ? {} : { exec }),
      ...(packages.length === 0 ? {} : { packages }),
    });
    return this.change(async () => {
      const known = {
        ...checked,
        ...(packages.length === 0 ? {} : { packages: packages.map(refOf).sort(byHash) }),
      };
      this.requireRoom(functionName, known);
      const { hashes, undo } = await this.bundles.writeAll([
        artifact,
        ...packages.map(({ content }) => ({ content, ending: PACKAGE_ENDING })),
      ]);
      const before = this.specs.get(checked.name);
      const now = new Date().toISOString();
      const spec: FunctionSpec = {
        ...known,
        codeHash: hashes[0]!,
        codeEnding: artifact.ending,
        codeBytes: artifact.content.length,
        createdAt: before?.createdAt ?? now,
        updatedAt: now,
      };
      await this.options.store.put(TABLE, spec.name, spec).catch(async (thrown) => {
        if (await this.wasRefused(spec)) await undo();
        throw thrown;
      });
      this.keep(spec.name, spec);
      if (before !== undefined && hashesOf(before).join() !== hashesOf(spec).join()) this.sweepLater(before);
      this.tell(spec.name, spec);
      return { spec, created: before === undefined };
    });
  }

  /** False if a store that failed may have taken it nevertheless: then its code has to stay, or goes with the next sweep. */
  private async wasRefused({ name, updatedAt }: FunctionSpec): Promise<boolean> {
    try {
      const stored = await this.options.store.get<Partial<FunctionSpec>>(TABLE, name);
      return stored?.updatedAt !== updatedAt;
    } catch {
      return false;
    }
  }

  get(name: string): FunctionSpec | undefined {
    return this.specs.get(name);
  }

  list(): FunctionSpec[] {
    return [...this.specs.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  remove(name: string): Promise<void> {
    return this.change(async () => {
      const before = this.specs.get(name);
      if (before === undefined) throw noSuchFunction(name);
      await this.options.store.delete(TABLE, name);
      this.specs.delete(name);
      this.specsBytes -= this.specBytes.get(name) ?? 0;
      this.specBytes.delete(name);
      this.sweepLater(before);
      this.tell(name, undefined);
    });
  }

  bundlePath(spec: FunctionSpec): string {
    return this.bundles.path(spec.codeHash, spec.codeEnding);
  }

  packagePath(hash: string): string {
    return this.bundles.path(hash, PACKAGE_ENDING);
  }

  private keep(name: string, spec: FunctionSpec): void {
    const bytes = bytesOf(spec);
    this.specsBytes += bytes - (this.specBytes.get(name) ?? 0);
    this.specBytes.set(name, bytes);
    this.specs.set(name, spec);
  }

  /** All specs are in memory, also in that of the next agent: without a bound, none would start any more. STORAGE_FULL. */
  private requireRoom(name: string, wanted: object): void {
    if (this.hasRoom(name, wanted)) return;
    const { functionsMax, specMaxBytes } = FUNCTION_LIMITS;
    if (bytesOf(wanted) > specMaxBytes) {
      throw new NemoError(
        'BAD_REQUEST',
        `what is to be kept of '${name}' takes more than ${specMaxBytes} bytes`,
        {
          hint: 'import fewer files of its packages, or give it less environment',
        },
      );
    }
    const what = this.isTooMany(name)
      ? `${functionsMax} functions`
      : 'environments of functions that take all room there is';
    throw new NemoError('STORAGE_FULL', `this box has ${what}`, {
      hint: 'remove functions that nobody needs',
    });
  }

  private isTooMany(name: string): boolean {
    return this.specs.size >= FUNCTION_LIMITS.functionsMax && !this.specs.has(name);
  }

  private hasRoom(name: string, wanted: object): boolean {
    const { specsMaxBytes, specMaxBytes } = FUNCTION_LIMITS;
    const others = this.specsBytes - (this.specBytes.get(name) ?? 0);
    const bytes = bytesOf(wanted);
    return !this.isTooMany(name) && bytes <= specMaxBytes && others + bytes <= specsMaxBytes;
  }

  private async intact(spec: FunctionSpec, looked: Map<string, Promise<boolean>>): Promise<boolean> {
    const files = (spec.packages ?? []).map(({ hash }) => [hash, PACKAGE_ENDING] as const);
    for (const [hash, ending] of [...files, [spec.codeHash, spec.codeEnding] as const]) {
      const key = `${hash}.${ending}`;
      const known = looked.get(key) ?? this.bundles.intact(hash, ending);
      looked.set(key, known);
      if (!(await known)) return false;
    }
    return true;
  }

  onChange(listener: (name: string, spec: FunctionSpec | undefined) => void): void {
    this.listeners.push(listener);
  }

  async close(): Promise<void> {
    await this.changes;
    clearTimeout(this.sweepTimer);
  }

  private tell(name: string, spec: FunctionSpec | undefined): void {
    for (const listener of this.listeners) listener(name, spec);
  }

  private change<T>(work: () => Promise<T>): Promise<T> {
    const result = this.changes.then(work);
    this.changes = result.catch(() => undefined);
    return result;
  }

  private sweepLater(before?: FunctionSpec): void {
    for (const hash of before === undefined ? [] : hashesOf(before))
      this.replaced.set(hash, performance.now());
    // One that is due is not put off: whoever deploys without a pause would keep all that was ever replaced.
    this.sweepTimer ??= setTimeout(() => {
      this.sweepTimer = undefined;
      void this.change(() => this.sweep());
    }, this.graceMs).unref();
  }

  private get graceMs(): number {
    return this.options.bundleGraceMs ?? FUNCTION_LIMITS.bundleGraceMs;
  }

  private sweep(): Promise<void> {
    const kept = new Set(this.orphans);
    for (const [hash, atMs] of this.replaced) {
      if (performance.now() - atMs >= this.graceMs) this.replaced.delete(hash);
      else kept.add(hash);
    }
    if (this.replaced.size > 0) this.sweepLater();
    for (const spec of this.specs.values()) for (const hash of hashesOf(spec)) kept.add(hash);
    return this.bundles.sweep(kept).catch(() => {
      // A file that cannot be removed now is tried again at the next sweep.
    });
  }
}

/** Of all files that a function needs. */
function hashesOf({ codeHash, packages = [] }: FunctionSpec): string[] {
  return [codeHash, ...packages.map(({ hash }) => hash)];
}

function bytesOf(spec: object): number {
  return Buffer.byteLength(JSON.stringify(spec));
}

function refOf({ hash, name, bytes, entries }: PackageRef): PackageRef {
  return { hash, name, bytes, entries };
}

function byHash(a: PackageRef, b: PackageRef): number {
  return a.hash < b.hash ? -1 : 1;
}

export function noSuchFunction(name: string): NemoError {
  return new NemoError('NOT_FOUND', `there is no function '${name.slice(0, 80)}'`, {
    hint: "'nemo ls' lists the functions, 'nemo deploy' makes one",
  });
}
