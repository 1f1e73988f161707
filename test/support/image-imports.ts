/** Imports of images as the engine makes them, in a folder and cgroups of their own. */

import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Confined } from '../../src/confinement/confined/confined.js';
import type { ImportedImage } from '../../src/images/import.js';
import { importInThread } from '../../src/images/import-worker.js';
import type { RegistryAccess } from '../../src/images/registry-rules.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { OCI } from '../../src/tunables/index.js';
import { confinedIn } from './sandboxes.js';

export interface ImportInput {
  registries?: Partial<RegistryAccess>;
  imageDirs?: string[];
  roomBytes?: number;
  timeoutMs?: number;
  store?: string;
}

let benches = 0;

export class ImageImports {
  /** Images may lie in it. */
  readonly folder = mkdtempSync('/var/tmp/nemo-test-image-');
  readonly store = join(this.folder, 'store');
  readonly driver: CgroupDriver;
  readonly confined: Confined;

  constructor() {
    chmodSync(this.folder, 0o755);
    this.driver = openCgroupDriver({ rootName: `nemo-test-image-${process.pid}-${benches++}`, idle: false });
    this.confined = confinedIn(this.folder, this.driver);
  }

  import(image: string, input: ImportInput = {}): Promise<ImportedImage> {
    const { registries = {}, imageDirs = [this.folder], timeoutMs, store = this.store } = input;
    const access = {
      ...{ imageDirs, uploadDir: join(this.folder, 'uploads') },
      registries: { logins: undefined, hosts: [], ...registries },
    };
    const { roomBytes = OCI.imageMaxBytes } = input;
    return this.confined.within((place) =>
      importInThread({ image, store, place, access, roomBytes }, timeoutMs),
    );
  }

  /** Names of layers in the store. */
  stored(): string[] {
    return readdirSync(this.store).filter((name) => !name.endsWith('.bytes'));
  }

  async close(): Promise<void> {
    await this.confined.close();
    await this.driver.removeAll();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What an operator says of a registry on this host, as tests have it. */
export function localRegistry(host: string, follow: string[] = []): Partial<RegistryAccess> {
  return { hosts: [{ host, insecure: true, private: true, follow }] };
}
