/**
 * `nemo bench --scenario engines`: what each isolation engine costs. Starts, memory and warm calls of a function that
 * does nothing, beside two things to compare with: a bare echo over a UNIX socket between two node processes, and
 * workerd over HTTP. All of it interleaved, functions on one core and the caller on another; believe the ratios.
 */

import { NemoError } from '../src/model/errors.js';
import { call, OUTSTANDING, throughput, WARM_CALLS, warmP50Us } from './engine-calls.js';
import { Echo, Workerd } from './engine-peers.js';
import { ROWS } from './engine-rows.js';
import { EngineSetup } from './engine-setup.js';
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

const STEMS = 15;
const MANY = [
  { row: 'wasm (instance kept, sharing group)', count: 2_000 },
  { row: 'isolate (sharing group)', count: 500 },
] as const;
/** The one row that is not an engine of ours. */
const WORKERD = 'workerd';

type Samples = Record<'cold' | 'stem' | 'warm' | 'ratio' | 'perS' | 'perCpuS' | 'mb', number[]>;

export async function runEngineBench(options: EngineBenchOptions): Promise<EngineBenchReport> {
  const setup = new EngineSetup();
  try {
    return await measure(setup, options);
  } finally {
    await setup.close();
  }
}

async function measure(setup: EngineSetup, options: EngineBenchOptions): Promise<EngineBenchReport> {
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
  const echo = await Echo.start(setup.directory, setup.core);
  try {
    for (let round = 0; round < rounds; round++) {
      for (const [i, row] of rows.entries()) {
        progress(`round ${round + 1} of ${rounds}: ${row.name}`);
        const into = samples[i]!;
        const group = row.group ? `round-${round}-${i}` : '';
        if (row.kind === 'microvm') boots.push(await setup.bootMachine());
        // The first of its process: nothing of the engine runs for it yet.
        const startMs = performance.now();
        const sandbox = await setup.warm(row, group);
        await call(sandbox);
        into.cold.push(performance.now() - startMs);
        for (let n = 0; n < STEMS; n++) {
          const fromMs = performance.now();
          const stem = await setup.stem(row, group);
          const stemMs = performance.now();
          if (row.kind === 'microvm') restores.push(stemMs - fromMs);
          await setup.load(stem, row);
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
        if (round === 0) into.mb.push(await setup.memoryEach(row, sandboxes));
        await sandbox.kill();
      }
      if (!WORKERD.includes(only)) continue;
      progress(`round ${round + 1} of ${rounds}: workerd`);
      const peer = await Workerd.start(setup.directory, setup.core);
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
    many.push({ name: row, count: wanted, ...(await setup.many(found, wanted)) });
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
            how: await setup.machineKind(),
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
