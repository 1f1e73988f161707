/** An `oci` engine with cgroups and folders of its own, removed with everything in them at the end. */

import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Confined } from '../../src/confinement/confined/confined.js';
import { OciEngine } from '../../src/engine/oci/engine.js';
import { StoredLayers } from '../../src/engine/oci/stored-layers.js';
import { StorageQuota } from '../../src/host/storage-quota.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { LoadOptions, Sandbox, StartOptions } from '../../src/sandbox/engine.js';
import { confinedIn, type LogEntry } from './sandboxes.js';

const MEMORY_BYTES = 128 * 1024 * 1024;
let benches = 0;

export class OciBench {
  readonly directory = mkdtempSync('/var/tmp/nemo-test-oci-');
  readonly driver: CgroupDriver;
  readonly engine: OciEngine;
  readonly confined: Confined;
  readonly layers: StoredLayers;
  readonly logs: LogEntry[] = [];
  private count = 0;

  constructor() {
    chmodSync(this.directory, 0o755);
    this.driver = openCgroupDriver({ rootName: `nemo-test-oci-${process.pid}-${benches++}`, idle: false });
    mkdirSync(join(this.directory, 'bundles'));
    this.confined = confinedIn(this.directory, this.driver);
    const storage = new StorageQuota({ stateDir: this.directory });
    this.layers = new StoredLayers({ storeDir: storage.imageDir, bundleDir: storage.bundleDir });
    this.engine = new OciEngine({
      directory: join(this.directory, 'run'),
      storeDir: storage.imageDir,
      bundleDir: storage.bundleDir,
      ...{ storage, confined: this.confined, layers: this.layers },
      access: {
        imageDirs: [this.directory],
        uploadDir: storage.uploadDir,
        registries: { logins: undefined, hosts: [] },
      },
    });
  }

  async close(): Promise<void> {
    await this.engine.close();
    await this.confined.close();
    await this.driver.removeAll();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** As the registry of functions does it; returns the variant of its stems. */
  async deploy(request: object | string): Promise<string> {
    const content = Buffer.from(typeof request === 'string' ? request : JSON.stringify(request));
    const artifact = await this.engine.prepare({ functionName: 'probe', content, filename: 'probe' });
    const hash = createHash('sha256').update(artifact.content).digest('hex');
    writeFileSync(join(this.directory, 'bundles', `${hash}.${artifact.ending}`), artifact.content);
    return hash;
  }

  start(variant: string, options: Partial<StartOptions> = {}, pidsMax = 64): Promise<Sandbox> {
    const id = `sb-${this.count++}`;
    const cgroup = this.driver.create(id, { memoryMaxBytes: MEMORY_BYTES, pidsMax });
    const onLog = (line: LogEntry) => this.logs.push(line);
    return this.engine.start({ id, cgroup, variant, scheduling: 'default', onLog, ...options });
  }

  /** A warm sandbox of a deployed image. */
  async run(variant: string, options: Partial<LoadOptions> = {}, pidsMax?: number): Promise<Sandbox> {
    const sandbox = await this.start(variant, {}, pidsMax);
    await sandbox.load({
      ref: functionRef('probe'),
      bundlePath: '',
      env: {},
      memoryBytes: MEMORY_BYTES,
      timeoutMs: 10_000,
      ...options,
    });
    return sandbox;
  }
}
