/**
 * `nemo bench --scenario engines`: what each isolation engine costs. Starts, memory and warm calls of a function that
 * does nothing, beside two things to compare with: a bare echo over a UNIX socket between two node processes, and
 * workerd over HTTP. All of it interleaved, functions on one core and the caller on another; believe the ratios.
 */

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
import type { CallRequest } from '../src/model/call.js';
import { NemoError } from '../src/model/errors.js';
import { functionRef } from '../src/model/function-ref.js';
import { endingOf, toStored } from '../src/model/function-source.js';
import { Egress } from '../src/network/egress.js';
import type { Engine, Sandbox } from '../src/sandbox/engine.js';
import { imageSource, writeNodeImage } from './engine-image.js';
import { Echo, proportionalBytes, Workerd } from './engine-peers.js';
import { NOOP_JS, ROWS, type Row } from './engine-rows.js';
import { median } from './statistics.js';

export interface EngineFigures {
  name: string;
  coldMs: number | null;
  stemMs: number | null;
  warmP50Us: number | null;
  /** Against the echo of the same round. */
  echoRatio: number | null;
  callsPerS: number | null;
  /** Calls for each second of CPU time on the functions' core. */
  callsPerCpuS: number | null;
  memoryMb: number | null;
}

export interface EngineBenchReport {
  schema: 'nemo.bench.engines/1';
  rounds: number;
  echoP50Us: number | null;
  engines: EngineFigures[];
  /** Many warm sandboxes of one sharing group, each with its group, that all served a call. */
  many: Array<{ name: string; count: number; mbEach: number; startMs: number | null; callMs: number | null }>;
  /** A virtual machine's boot, and a start from its snapshot until the guest answers. `how`: with KVM or emulated. */
  microvm?: { how: string; bootMs: number | null; restoreMs: number | null; restores: number };
  /** Not there where workerd is not installed. */
  workerd?: { coldMs: number | null; callsPerS: number | null; callsPerCpuS: number | null };
}

export interface EngineBenchOptions {
  rounds: number;
  /** Seconds of calls for each figure of throughput. */
  seconds: number;
  /** Sandboxes of an engine over which memory is averaged. */
  sandboxes: number;
  /** Of each kind in `MANY`, at most. */
  many: number;
  /** Only rows whose name holds this. */
  only?: string;
  progress: (what: string) => void;
}

const WARM_CALLS = 1_000;
const OUTSTANDING = 16;
const STEMS = 15;
const MANY = [
  { row: 'wasm (instance kept, sharing group)', count: 2_000 },
  { row: 'isolate (sharing group)', count: 500 },
] as const;
const MEMORY_BYTES = 128 * 2 ** 20;
/** The one row that is not an engine of ours. */
const WORKERD = 'workerd';

type Samples = Record<'cold' | 'stem' | 'warm' | 'ratio' | 'perS' | 'perCpuS' | 'mb', number[]>;

export async function runEngineBench(options: EngineBenchOptions): Promise<EngineBenchReport> {
  const bed = new Bed();
  try {
    return await measure(bed, options);
  } finally {
    await bed.close();
  }
}

async function measure(bed: Bed, options: EngineBenchOptions): Promise<EngineBenchReport> {
  const { rounds, seconds, sandboxes, progress, only = '' } = options;
  const rows = ROWS.filter(({ name }) => name.includes(only));
  if (rows.length === 0 && !WORKERD.includes(only)) {
    throw new NemoError('BAD_CONFIG', `--only ${only} leaves no engine`, {
      hint: `there are ${[...ROWS.map(({ name }) => name), WORKERD].join(', ')}`,
    });
  }
  const samples = rows.map(
    (): Samples => ({ cold: [], stem: [], warm: [], ratio: [], perS: [], perCpuS: [], mb: [] }),
  );
  const echoes: number[] = [];
  const workerd = { cold: [] as number[], perS: [] as number[], perCpuS: [] as number[] };
  const boots: number[] = [];
  const restores: number[] = [];
  const echo = await Echo.start(bed.directory, bed.core);
  try {
    for (let round = 0; round < rounds; round++) {
      for (const [i, row] of rows.entries()) {
        progress(`round ${round + 1} of ${rounds}: ${row.name}`);
        const into = samples[i]!;
        const group = row.group ? `round-${round}-${i}` : '';
        if (row.kind === 'microvm') boots.push(await bed.bootMachine());
        // The first of its process: nothing of the engine runs for it yet.
        const startMs = performance.now();
        const sandbox = await bed.warm(row, group);
        await call(sandbox);
        into.cold.push(performance.now() - startMs);
        for (let n = 0; n < STEMS; n++) {
          const fromMs = performance.now();
          const stem = await bed.stem(row, group);
          const stemMs = performance.now();
          if (row.kind === 'microvm') restores.push(stemMs - fromMs);
          await bed.load(stem, row);
          into.stem.push(performance.now() - stemMs);
          await stem.kill();
        }
        await warmP50Us(sandbox);
        // Around it, so that both see the same moment.
        const before = await echo.p50Us(WARM_CALLS);
        const warm = await warmP50Us(sandbox);
        const around = (before + (await echo.p50Us(WARM_CALLS))) / 2;
        echoes.push(around);
        into.warm.push(warm);
        into.ratio.push(warm / around);
        const { perS, perCpuS } = await throughput(sandbox, seconds);
        into.perS.push(perS);
        into.perCpuS.push(perCpuS);
        if (round === 0) into.mb.push(await bed.memoryEach(row, sandboxes));
        await sandbox.kill();
      }
      if (!WORKERD.includes(only)) continue;
      progress(`round ${round + 1} of ${rounds}: workerd`);
      const peer = await Workerd.start(bed.directory, bed.core);
      if (peer === undefined) continue;
      workerd.cold.push(peer.coldMs);
      const { perS, perCpuS } = await peer.throughput(OUTSTANDING, seconds);
      workerd.perS.push(perS);
      workerd.perCpuS.push(perCpuS);
      await peer.close();
    }
  } finally {
    echo.close();
  }
  const engines = rows.map(({ name }, i): EngineFigures => {
    const { cold, stem, warm, ratio, perS, perCpuS, mb } = samples[i]!;
    return {
      name,
      coldMs: median(cold),
      stemMs: median(stem),
      warmP50Us: median(warm),
      echoRatio: median(ratio),
      callsPerS: median(perS),
      callsPerCpuS: median(perCpuS),
      memoryMb: median(mb),
    };
  });
  const many: EngineBenchReport['many'] = [];
  for (const { row, count } of MANY) {
    const found = rows.find((one) => one.name === row);
    if (found === undefined) continue;
    const wanted = Math.min(count, options.many);
    progress(`${wanted} of ${row}`);
    many.push({ name: row, count: wanted, ...(await bed.many(found, wanted)) });
  }
  return {
    schema: 'nemo.bench.engines/1',
    rounds,
    echoP50Us: median(echoes),
    engines,
    many,
    ...(boots.length === 0
      ? {}
      : {
          microvm: {
            how: await bed.machineKind(),
            ...{ bootMs: median(boots), restoreMs: median(restores), restores: restores.length },
          },
        }),
    ...(workerd.perS.length === 0
      ? {}
      : {
          workerd: {
            coldMs: median(workerd.cold),
            callsPerS: median(workerd.perS),
            callsPerCpuS: median(workerd.perCpuS),
          },
        }),
  };
}

/** Engines with cgroups of their own; sandboxes on the highest core, everything else on the lowest. */
class Bed {
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

  /** Anew, whatever snapshot there is: ms until the guest's runner was ready. */
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

const REQUEST: CallRequest = {
  callId: 'bench',
  ref: functionRef('noop'),
  method: 'POST',
  path: '/',
  query: '',
  headers: {},
  body: Buffer.alloc(0),
};

function call(sandbox: Sandbox): Promise<void> {
  return new Promise((resolve, reject) => {
    sandbox.invoke(REQUEST, performance.now() + 10_000, {
      onHead: () => {},
      onChunk: () => {},
      onEnd: resolve,
      onError: reject,
    });
  });
}

async function warmP50Us(sandbox: Sandbox): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < WARM_CALLS; i++) {
    const startMs = performance.now();
    await call(sandbox);
    times.push((performance.now() - startMs) * 1_000);
  }
  return median(times)!;
}

async function throughput(sandbox: Sandbox, seconds: number): Promise<{ perS: number; perCpuS: number }> {
  const cpuBefore = sandbox.cgroup.usage().cpuNs;
  const startMs = performance.now();
  let calls = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - startMs < seconds * 1_000) {
      await call(sandbox);
      calls++;
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, lane));
  const wallS = (performance.now() - startMs) / 1_000;
  const cpuS = (sandbox.cgroup.usage().cpuNs - cpuBefore) / 1e9;
  return { perS: calls / wallS, perCpuS: calls / cpuS };
}
