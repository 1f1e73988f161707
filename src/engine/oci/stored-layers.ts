/**
 * Which unpacked layers stay. Those that stored functions name, and for a while those that a deploy found fit lately: its
 * function may not be stored yet. All others go with the next sweep: at an import, after a deploy that failed, and when
 * the store has no room for somebody else.
 */

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SIZE_ENDING } from '../../host/storage-quota.js';
import { namesIfThere } from '../../linux/if-there.js';
import { OCI } from '../../tunables/index.js';
import { IMAGE_ENDING } from './laid-out-images.js';
import { parsePlan } from './plan.js';

export class StoredLayers {
  /** Of stored images, by the name of their file, which is that of its content. */
  private readonly layersOf = new Map<string, readonly string[]>();
  /** When a deploy wanted each last. */
  private readonly wanted = new Map<string, number>();
  private sweeping: Promise<void> | undefined;
  private importing = false;

  constructor(private readonly options: { storeDir: string; bundleDir: string }) {}

  /** One at a time. What it brings and nobody wants goes with the sweep that follows. */
  async import<T>(work: (want: (layers: readonly string[]) => void) => Promise<T>): Promise<T> {
    await this.sweep(OCI.unusedLayerMs);
    while (this.sweeping !== undefined) await this.sweeping;
    this.importing = true;
    try {
      return await work((layers) => {
        for (const layer of layers) this.wanted.set(layer, performance.now());
      });
    } finally {
      this.importing = false;
      await this.sweep(OCI.unusedLayerMs);
    }
  }

  /** `keptMs`: how long those stay that a deploy wanted. Nothing while an import goes on. */
  sweep(keptMs: number): Promise<void> {
    if (this.importing) return Promise.resolve();
    // One that cannot be removed, or whose image cannot be read, is tried again at the next.
    this.sweeping ??= this.removeUnused(keptMs)
      .catch(() => {})
      .finally(() => {
        this.sweeping = undefined;
      });
    return this.sweeping;
  }

  private async removeUnused(keptMs: number): Promise<void> {
    const { storeDir, bundleDir } = this.options;
    const kept = new Set<string>();
    const plans = new Set(namesIfThere(bundleDir).filter((name) => name.endsWith(`.${IMAGE_ENDING}`)));
    for (const name of this.layersOf.keys()) if (!plans.has(name)) this.layersOf.delete(name);
    for (const name of plans) {
      const layers = this.layersOf.get(name) ?? layersIn(await readFile(join(bundleDir, name)));
      this.layersOf.set(name, layers);
      for (const layer of layers) kept.add(layer);
    }
    for (const [layer, atMs] of this.wanted) {
      if (performance.now() - atMs < keptMs) kept.add(layer);
      else this.wanted.delete(layer);
    }
    for (const name of namesIfThere(storeDir)) {
      const layer = name.endsWith(SIZE_ENDING) ? name.slice(0, -SIZE_ENDING.length) : name;
      if (!kept.has(layer)) await rm(join(storeDir, name), { recursive: true, force: true });
    }
  }
}

/** None of a file that is no plan: the registry finds it damaged, and its function asks for a new deploy. */
function layersIn(plan: Buffer): readonly string[] {
  try {
    return parsePlan(plan).layers;
  } catch {
    return [];
  }
}
