/** Layers as they are applied: each written and sealed as an import does it, but in this process; and mounted together. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mountRootfs, unmountBelow } from '../../src/engine/oci/rootfs.js';
import { LayerWriter } from '../../src/images/layer.js';
import { hidesAllBelow, sealLayer } from '../../src/images/seal.js';
import { OCI } from '../../src/tunables/index.js';
import { type TarEntry, tarOf } from './oci-images.js';

/** One that nobody guesses. */
const TAKEN_AWAY = '/taken-away-in-tests';

export class Layers {
  readonly folder = mkdtempSync('/var/tmp/nemo-test-layers-');
  private count = 0;

  /** The directory of a layer. Rejects with what an import would say. */
  async apply(layer: readonly TarEntry[] | Buffer): Promise<string> {
    const name = `${this.count++}`;
    const root = join(this.folder, name);
    mkdirSync(root);
    const room = () => ({ bytes: OCI.imageMaxBytes, entries: OCI.entriesMax });
    const writer = new LayerWriter(root, room(), TAKEN_AWAY);
    const tar = Buffer.isBuffer(layer) ? layer : tarOf(layer);
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error | null) => (error ? reject(error) : resolve());
      writer.write(tar, (error) => (error ? reject(error) : writer.end(settle)));
    });
    sealLayer(root, { uid: 0, takenAway: TAKEN_AWAY, room: room() });
    return name;
  }

  /** Shows `look` the root file system of these layers, lowest first. */
  async within<T>(names: readonly string[], look: (root: string) => T): Promise<T> {
    const run = join(this.folder, `run-${this.count++}`);
    mkdirSync(run);
    try {
      return look(await mountRootfs(this.folder, names, run));
    } finally {
      await unmountBelow(run);
    }
  }

  /** One alone is looked at where it lies. */
  async together<T>(
    layers: ReadonlyArray<readonly TarEntry[] | Buffer>,
    look: (root: string) => T,
  ): Promise<T> {
    const names: string[] = [];
    for (const layer of layers) {
      const name = await this.apply(layer);
      // As an import does.
      if (hidesAllBelow(join(this.folder, name))) names.length = 0;
      names.push(name);
    }
    return names.length === 1 ? look(join(this.folder, names[0]!)) : this.within(names, look);
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
