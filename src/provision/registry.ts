/**
 * The functions of this box. Code is on disk before the spec is in the store, and the spec is in the store
 * before anybody hears of it: after kill -9 at any point there is no spec without its code. Changes run one
 * after the other, so that no sweep removes a bundle that a deploy is about to name; boxes that share a store
 * do so by a lease, and follow what the others change.
 */

import { totalmem } from 'node:os';
import { Slots } from '../confinement/confined/slots.js';
import type { StorageQuota } from '../host/storage-quota.js';
import type { Asker } from '../model/asker.js';
import { asNemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import { functionRef, noSuchFunction } from '../model/function-ref.js';
import { endingOf, toStored } from '../model/function-source.js';
import type { DeployInput, FunctionRegistry } from '../model/platform.js';
import type { PrepareRequest } from '../sandbox/engine.js';
import type { Store } from '../store/store.js';
import { FUNCTION_LIMITS } from '../tunables/index.js';
import type { BlockSource } from './block-source.js';
import { BundleFiles } from './bundle-files.js';
import { CodeSweep } from './code-sweep.js';
import { checkDeployInput } from './deploy-input.js';
import { blocksOf, codeBlock, hashesOf, PACKAGE_BLOCK, refsOf } from './function-blocks.js';
import { RegistryWarnings } from './registry-warnings.js';
import { SharedBlocks } from './shared-blocks.js';
import { SpecBook } from './spec-book.js';
import { SpecStore } from './spec-store.js';
import { toSpec } from './stored-spec.js';

/** An engine's part of a deploy: `Engines.prepare`. */
export type PrepareFunction = (engine: string, request: PrepareRequest) => Promise<Buffer>;

export interface RegistryOptions {
  store: Store;
  bundleDir: string;
  prepare: PrepareFunction;
  /** Whether an engine of this agent runs what the store has: another version may have stored it. Default: all. */
  runs?: (spec: FunctionSpec) => boolean;
  /** What all that is stored may take. Default: no bound of its own. */
  quota?: StorageQuota;
  /** What goes wrong later with functions that other boxes deploy, in words. */
  onWarning?: (message: string) => void;
  /** How long a replaced bundle stays on disk. */
  bundleGraceMs?: number;
}

export interface StoredRegistry extends FunctionRegistry {
  /** What could not be brought back from the store, in words. */
  readonly warnings: readonly string[];
  /** Waits for changes under way and stops the timers. The store stays open. */
  close(): Promise<void>;
}

/** Brings back every stored function whose code is intact. STORE if the store cannot be read. */
export async function createRegistry(options: RegistryOptions): Promise<StoredRegistry> {
  const registry = new Registry(options);
  await registry.restore();
  return registry;
}

class Registry implements StoredRegistry {
  private readonly trouble: RegistryWarnings;
  private readonly specs = new SpecBook();
  private readonly stored: SpecStore;
  private readonly listeners: Array<(key: string, spec: FunctionSpec | undefined) => void> = [];
  private readonly bundles: BundleFiles;
  private readonly shared: SharedBlocks | undefined;
  private readonly blocks: BlockSource;
  private restored = false;
  private unwatch = (): void => {};
  private changes: Promise<unknown> = Promise.resolve();
  /** Of changes that somebody waits for: two, so that who has one running lets others go before. */
  private readonly line = new Slots(2, FUNCTION_LIMITS.changesWaiting, 'deploys');
  private readonly sweep: CodeSweep;

  constructor(private readonly options: RegistryOptions) {
    this.trouble = new RegistryWarnings(options.onWarning);
    this.bundles = new BundleFiles(options.bundleDir, options.quota);
    this.stored = new SpecStore(options.store);
    this.shared = options.store.shared ? new SharedBlocks(options.store, this.bundles) : undefined;
    this.blocks = this.shared ?? this.bundles;
    const { bundles, shared, stored } = this;
    this.sweep = new CodeSweep({
      ...{ bundles, shared, stored, graceMs: options.bundleGraceMs },
      specs: () => this.specs.list(),
      change: (work) => this.change(work),
      changeShared: (work) => this.changeShared(work),
    });
  }

  async restore(): Promise<void> {
    // First, so that no change falls between the two.
    await this.watch();
    await this.change(async () => {
      // Many functions may have the same code: it is read once.
      const looked = new Map<string, Promise<boolean>>();
      for (const { key, value } of await this.stored.list()) await this.take(key, value, looked);
      this.trouble.endStart();
      this.restored = true;
      await this.sweep.run();
    });
  }

  get warnings(): readonly string[] {
    return this.trouble.first;
  }

  /** What the store has of a function, if it can be called here. */
  private async take(
    key: string,
    value: unknown,
    looked = new Map<string, Promise<boolean>>(),
  ): Promise<FunctionSpec | undefined> {
    const spec = toSpec(value, key, totalmem());
    const named = JSON.stringify(key.slice(0, 80));
    if (spec === undefined) {
      this.trouble.warn(`what the store has under functions/${named} is not a function: deploy it again`);
    } else if (this.options.runs?.(spec) === false) {
      const what = `${spec.source.kind} for the engine ${spec.engine}`;
      this.trouble.warn(`function ${named} is a ${what}, which this agent does not run: deploy it again`);
      if (!this.restored) this.sweep.keep(spec);
    } else if (!this.specs.hasRoom(key, spec)) {
      this.trouble.warn(`function ${named} is beyond what this box holds: remove others and deploy it again`);
    } else {
      const lack = await this.lackOfCode(spec, looked);
      if (lack === undefined) {
        this.specs.keep(spec);
        return spec;
      }
      // Later ones are somebody else's, and as many as they like: what of them has come goes again.
      if (this.restored) this.sweep.later();
      else this.sweep.keep(spec);
      this.trouble.warn(`the code of function '${key}' is ${lack}: deploy it again`);
    }
    return undefined;
  }

  private async lackOfCode(
    spec: FunctionSpec,
    looked: Map<string, Promise<boolean>>,
  ): Promise<string | undefined> {
    try {
      for (const block of blocksOf(spec)) {
        const name = `${block.hash}.${block.ending}`;
        const known = looked.get(name) ?? this.blocks.ensure(block);
        looked.set(name, known);
        if (await known) continue;
        if (this.shared === undefined) return 'missing or damaged';
        return 'not on this box, and not in the store, as it is large, an image or damaged';
      }
      return undefined;
    } catch (thrown) {
      return `not on this box (${asNemoError(thrown).message})`;
    }
  }

  private async watch(): Promise<void> {
    const follow = async (keys: readonly string[] | undefined): Promise<void> => {
      for (const key of keys ?? (await this.allKeys())) await this.follow(key);
    };
    try {
      this.unwatch = await this.stored.watch((keys) =>
        this.change(() => follow(keys)).catch((thrown) =>
          this.trouble.warn(`what other boxes changed was not seen: ${asNemoError(thrown).message}`),
        ),
      );
    } catch (thrown) {
      const { message } = asNemoError(thrown);
      this.trouble.warn(`what other boxes deploy is seen only after a restart: ${message}`);
    }
  }

  private async allKeys(): Promise<Set<string>> {
    const stored = (await this.stored.list()).map(({ key }) => key);
    return new Set([...stored, ...this.list().map(({ ref }) => ref.key)]);
  }

  /** Makes the function what the store has now, whoever changed it. */
  private async follow(key: string): Promise<void> {
    const before = this.specs.get(key);
    const value = await this.stored.get(key);
    if (value === undefined) {
      if (before !== undefined) this.drop(key, before);
    } else if (value?.updatedAt !== before?.updatedAt || value?.codeHash !== before?.codeHash) {
      const spec = await this.take(key, value);
      if (spec === undefined) return;
      if (before !== undefined) this.sweep.later(before);
      this.notify(key, spec);
    }
  }

  async deploy(input: DeployInput, asker?: Asker): Promise<{ spec: FunctionSpec; created: boolean }> {
    const { id, source: given, ...checked } = checkDeployInput(input, totalmem());
    const { namespace, name, key } = id;
    const packages = given.kind === 'module' ? given.packages : [];
    const egress = checked.egress !== undefined;
    const request = { functionName: key, source: given, egress, asker };
    const code = await this.options.prepare(checked.engine, request);
    return this.inLine(asker, async () => {
      const source = toStored(given);
      const known = {
        ...checked,
        source,
        ...(packages.length === 0 ? {} : { packages: refsOf(packages) }),
      };
      this.specs.requireRoom(key, known);
      const ofPackages = packages.map(({ content }) => ({ content, ...PACKAGE_BLOCK }));
      const blocks = [{ content: code, ...codeBlock(source) }, ...ofPackages];
      const { hashes, undo } = await this.bundles.writeAll(blocks);
      const before = this.specs.get(key);
      const now = new Date().toISOString();
      const spec: FunctionSpec = {
        ref: functionRef(name, namespace, await this.stored.nextVersion(key, before?.ref.version)),
        ...known,
        codeHash: hashes[0]!,
        codeBytes: code.length,
        createdAt: before?.createdAt ?? now,
        updatedAt: now,
      };
      try {
        await this.shared?.offer(blocks);
        await this.stored.write(spec);
      } catch (thrown) {
        if (await this.stored.wasRefused(spec)) await undo();
        throw thrown;
      }
      this.specs.keep(spec);
      if (before !== undefined && hashesOf(before).join() !== hashesOf(spec).join()) this.sweep.free(before);
      this.notify(key, spec);
      return { spec, created: before === undefined };
    });
  }

  get(key: string): FunctionSpec | undefined {
    return this.specs.get(key);
  }

  list(): FunctionSpec[] {
    return this.specs.list();
  }

  remove(key: string, asker?: Asker): Promise<void> {
    return this.inLine(asker, async () => {
      const spec = this.specs.get(key);
      if (spec === undefined) throw noSuchFunction(key);
      await this.stored.delete(key);
      this.sweep.free(spec);
      this.drop(key, spec);
    });
  }

  private drop(key: string, before: FunctionSpec): void {
    this.specs.delete(key);
    this.sweep.later(before);
    this.notify(key, undefined);
  }

  bundlePath(spec: FunctionSpec): string {
    return this.bundles.path(spec.codeHash, endingOf(spec.source));
  }

  packagePath(hash: string): string {
    return this.bundles.path(hash, PACKAGE_BLOCK.ending);
  }

  onChange(listener: (key: string, spec: FunctionSpec | undefined) => void): void {
    this.listeners.push(listener);
  }

  async close(): Promise<void> {
    this.unwatch();
    await this.changes;
    this.sweep.stop();
  }

  private notify(key: string, spec: FunctionSpec | undefined): void {
    for (const listener of this.listeners) listener(key, spec);
  }

  private change<T>(work: () => Promise<T>): Promise<T> {
    const result = this.changes.then(work);
    this.changes = result.catch(() => undefined);
    return result;
  }

  /** Of boxes that share a store, one at a time. */
  private changeShared<T>(work: () => Promise<T>): Promise<T> {
    return this.change(() => this.stored.change(work));
  }

  private inLine<T>(asker: Asker | undefined, work: () => Promise<T>): Promise<T> {
    const change = () => this.changeShared(work);
    return asker === undefined ? change() : this.line.hold(change, asker);
  }
}
