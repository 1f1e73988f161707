/** The engines of the bench, with cgroups and directories of their own; all of it is removed at the end. */

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Confined } from '../src/confinement/confined/confined.js';
import { builtinEngines } from '../src/engine/builtin.js';
import type { MicrovmEngine } from '../src/engine/microvm/engine.js';
import { StorageQuota } from '../src/host/storage-quota.js';
import { allowedCores } from '../src/linux/allowed-cores.js';
import type { Cgroup, CgroupDriver } from '../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../src/linux/cgroup/open.js';
import { setProcessAffinity } from '../src/linux/sched.js';
import { functionRef } from '../src/model/function-ref.js';
import { endingOf, toStored } from '../src/model/function-source.js';
import { Egress } from '../src/network/egress.js';
import type { Engine, Sandbox } from '../src/sandbox/engine.js';
import { call } from './engine-calls.js';
import { imageSource, writeNodeImage } from './engine-image.js';
import { proportionalBytes } from './engine-peers.js';
import { NOOP_JS, type Row } from './engine-rows.js';
import { median } from './statistics.js';

const MEMORY_BYTES = 128 * 2 ** 20;

/** Engines with cgroups of their own; sandboxes on the highest core, everything else on the lowest. */
export class EngineSetup {
  readonly directory = mkdtempSync('/var/tmp/nemo-bench-engines-');
  readonly core = allowedCores().byDefault.at(-1)!;
  private readonly driver: CgroupDriver;
  private readonly egress = new Egress();
  private readonly engines: Map<string, Promise<Engine>>;
  private readonly variants = new Map<Row, Promise<string>>();
  private count = 0;

  constructor() {
    chmodSync(this.directory, 0o755);
    const home = allowedCores().byDefault[0]!;
    setProcessAffinity(process.pid, [home]);
    this.driver = openCgroupDriver({ rootName: `nemo-bench-engines-${process.pid}`, idle: false });
    const stateDir = join(this.directory, 'state');
    const place = { driver: this.driver, housekeepingCores: [home] };
    const context = {
      directory: join(this.directory, 'sandboxes'),
      confined: new Confined({ ...place, directory: join(this.directory, 'confined') }),
      storage: new StorageQuota({ stateDir }),
      images: { imageDirs: [this.directory], registries: { logins: undefined, hosts: [] } },
      stateDir,
      egress: this.egress,
      driver: this.driver,
      functionCores: [this.core],
      housekeepingCores: [home],
    };
    this.engines = new Map(builtinEngines(context).map((entry) => [entry.kind, entry.open()]));
  }

  async stem(row: Row, group: string): Promise<Sandbox> {
    const engine = await this.engines.get(row.kind)!;
    // A stem of an image is of that image.
    const image = row.kind === 'oci' ? await this.imageOf(row) : '';
    const id = `sb-${++this.count}`;
    const within: Cgroup | undefined = await engine.processGroup?.(group, 'default');
    const limits = { memoryMaxBytes: MEMORY_BYTES, pidsMax: 64, cpus: [this.core] };
    const cgroup = this.driver.create(id, limits, within);
    // The process engine knows one variant for JavaScript.
    const variant = within === undefined ? image : group;
    const processGroup = within === undefined ? {} : { processGroup: within };
    return engine.start({ id, cgroup, scheduling: 'default', variant, ...processGroup, onLog: () => {} });
  }

  /** Deploys the image, once. */
  private imageOf(row: Row): Promise<string> {
    let variant = this.variants.get(row);
    if (variant === undefined) {
      variant = this.deployImage(row);
      this.variants.set(row, variant);
    }
    return variant;
  }

  private async deployImage({ code, kind }: Row): Promise<string> {
    const folder = join(this.directory, 'image');
    if (!existsSync(folder)) {
      mkdirSync(folder);
      writeNodeImage(folder);
    }
    const engine = await this.engines.get(kind)!;
    const source = imageSource(folder, code.toString() === 'handler');
    const plan = await engine.prepare({ functionName: 'noop', source });
    const hash = createHash('sha256').update(plan).digest('hex');
    const bundles = join(this.directory, 'state', 'bundles');
    mkdirSync(bundles, { recursive: true });
    writeFileSync(join(bundles, `${hash}.${endingOf(toStored(source))}`), plan);
    return hash;
  }

  /** Boots one without its snapshots: ms until the guest's runner was ready. */
  async bootMachine(): Promise<number> {
    const engine = (await this.engines.get('microvm')!) as MicrovmEngine;
    for (const { key } of engine.snapshots.list()) engine.snapshots.remove(key);
    const content = Buffer.from(NOOP_JS);
    const source = { kind: 'module', content, filename: 'noop.mjs', packages: [] } as const;
    await engine.prepare({ functionName: 'noop', source });
    return engine.snapshots.list().find(({ key }) => key.startsWith('stem-'))!.savedMs;
  }

  async machineKind(): Promise<string> {
    const report = await (await this.engines.get('microvm')!).check();
    return report.ok ? (report.note ?? '') : report.reason;
  }

  async load(sandbox: Sandbox, { kind, code }: Row): Promise<void> {
    const bundlePath = kind === 'oci' ? '' : this.bundle(code);
    const limits = { memoryBytes: MEMORY_BYTES, timeoutMs: 10_000 };
    const source = { kind: kind === 'oci' ? 'image' : kind === 'wasm' ? 'wasm' : 'module' } as const;
    await sandbox.load({ ref: functionRef('noop'), source, bundlePath, env: {}, ...limits });
  }

  /** As a deploy stores it: once, under its hash. */
  private bundle(code: Buffer): string {
    const path = join(this.directory, `${createHash('sha256').update(code).digest('hex')}.mjs`);
    if (!existsSync(path)) writeFileSync(path, code);
    return path;
  }

  async warm(row: Row, group: string): Promise<Sandbox> {
    const sandbox = await this.stem(row, group);
    await this.load(sandbox, row);
    return sandbox;
  }

  /** MB of each of `count` warm sandboxes that served a call, their common process included in the first. */
  async memoryEach(row: Row, count: number): Promise<number> {
    return (await this.many(row, count)).mbEach;
  }

  /** Also what starting each took, and a call of each after all were there. */
  async many(
    row: Row,
    count: number,
  ): Promise<{ mbEach: number; startMs: number | null; callMs: number | null }> {
    const all: Sandbox[] = [];
    const starts: number[] = [];
    const calls: number[] = [];
    for (let i = 0; i < count; i++) {
      const startMs = performance.now();
      const sandbox = await this.warm(row, row.group ? 'memory' : '');
      starts.push(performance.now() - startMs);
      await call(sandbox);
      all.push(sandbox);
    }
    const bytes = proportionalBytes(new Set(all.map(({ pid }) => pid)));
    for (const sandbox of all) {
      const startMs = performance.now();
      await call(sandbox);
      calls.push(performance.now() - startMs);
    }
    await Promise.all(all.map((sandbox) => sandbox.kill()));
    return { mbEach: bytes / 1e6 / count, startMs: median(starts), callMs: median(calls) };
  }

  async close(): Promise<void> {
    for (const engine of this.engines.values()) await (await engine).close();
    await this.egress.close();
    await this.driver.removeAll();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
