/**
 * What it saves that a stem has imported a function's packages: `node dist/bench/packages.js [rounds]`, as root. The
 * same function (marked, ajv, pngjs) with its packages in its code, beside it, and imported ahead; one start of each
 * in every round, on the highest core while everything else is on the lowest.
 */

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleFunction } from '../src/bundle/bundle.js';
import { bundleApart } from '../src/bundle/bundle-apart.js';
import { sealPackage } from '../src/bundle/pack.js';
import { Confined } from '../src/confinement/confined/confined.js';
import { ProcessEngine } from '../src/engine/process/engine.js';
import { openCgroupDriver } from '../src/linux/cgroup/open.js';
import { onlineCores } from '../src/linux/online-cores.js';
import { setProcessAffinity } from '../src/linux/sched.js';
import type { CallRequest } from '../src/model/call.js';
import { functionRef } from '../src/model/function-ref.js';
import type { StoredPackage } from '../src/model/package.js';
import type { Sandbox } from '../src/sandbox/engine.js';
import { median } from './statistics.js';

const FUNCTION = `import { marked } from 'marked'; import { Ajv } from 'ajv'; import { PNG } from 'pngjs';
export default (event) => ({ html: marked.parse(event.text),
  ok: new Ajv().validate({ type: 'object' }, event), png: typeof PNG.sync.read });`;
const CALL: CallRequest = {
  ...{ callId: 'bench', ref: functionRef('bench'), method: 'POST', path: '/', query: '' },
  headers: { 'content-type': 'application/json' },
  body: Buffer.from('{"text":"# hi"}'),
};
const MEMORY_BYTES = 128 * 2 ** 20;
/** A stem rehearses when it is ready; then it waits, as those in a pool do. */
const WAIT_MS = 150;

interface Row {
  name: string;
  codePath: string;
  packages: StoredPackage[];
  ahead: StoredPackage[];
}
const directory = mkdtempSync('/var/tmp/nemo-bench-packages-');
chmodSync(directory, 0o755);
const core = onlineCores().at(-1)!;
const driver = openCgroupDriver({ rootName: `nemo-bench-packages-${process.pid}`, idle: false });
const confined = new Confined({
  ...{ directory: join(directory, 'confined'), driver, housekeepingCores: onlineCores().slice(0, 1) },
});
const engine = new ProcessEngine({ directory: join(directory, 'sandboxes'), confined });

async function rows(): Promise<Row[]> {
  const project = join(directory, 'function');
  mkdirSync(project);
  writeFileSync(join(project, 'index.mjs'), FUNCTION);
  symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(project, 'node_modules'));
  const whole = await bundleFunction(project);
  const apart = await bundleApart(project);
  const packages = apart.packages.map((input) => {
    const { content, ...ref } = sealPackage(input);
    const path = join(directory, `${ref.hash}.pkg`);
    writeFileSync(path, content);
    return { ...ref, path };
  });
  const codePath = join(directory, 'apart.mjs');
  writeFileSync(codePath, apart.code);
  writeFileSync(join(directory, 'whole.mjs'), whole.code);
  const marked = packages.filter(({ name }) => name.startsWith('marked@'));
  return [
    { name: 'in the code', codePath: join(directory, 'whole.mjs'), packages: [], ahead: [] },
    { name: 'beside it', codePath, packages, ahead: [] },
    { name: 'one of three ahead', codePath, packages, ahead: marked },
    { name: 'all ahead', codePath, packages, ahead: packages },
  ];
}

let count = 0;

/** One start: how long loading took, and the first call after it, ms; what the stem held before, MB. */
async function start({ codePath, packages, ahead }: Row): Promise<[number, number, number]> {
  const id = `sb-${++count}`;
  const cgroup = driver.create(id, { memoryMaxBytes: MEMORY_BYTES, pidsMax: 64, cpus: [core] });
  const imported = ahead.length === 0 ? {} : { packages: ahead };
  const sandbox = await engine.start({ id, cgroup, scheduling: 'default', onLog: () => {}, ...imported });
  try {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    const heldMb = cgroup.usage().memoryBytes / 1e6;
    const fromMs = performance.now();
    await sandbox.load({
      ...{
        ref: functionRef('bench'),
        source: { kind: 'module' },
        bundlePath: codePath,
        env: {},
        memoryBytes: MEMORY_BYTES,
        timeoutMs: 10_000,
      },
      ...(packages.length === 0 ? {} : { packages }),
    });
    const loadedMs = performance.now();
    await call(sandbox);
    return [loadedMs - fromMs, performance.now() - loadedMs, heldMb];
  } finally {
    await sandbox.kill();
  }
}

function call(sandbox: Sandbox): Promise<void> {
  return new Promise((resolve, reject) => {
    const nothing = (): void => {};
    const reply = { onHead: nothing, onChunk: nothing, onEnd: resolve, onError: reject };
    sandbox.invoke(CALL, performance.now() + 10_000, reply);
  });
}

const rounds = Number(process.argv[2] ?? 15);
setProcessAffinity(process.pid, [onlineCores()[0]!]);
try {
  const all = (await rows()).map((row) => ({
    row,
    load: [] as number[],
    first: [] as number[],
    mb: [] as number[],
  }));
  for (const { row } of all) await start(row);
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    for (const { row, load, first, mb } of all) {
      const [loadMs, firstMs, heldMb] = await start(row);
      load.push(loadMs);
      first.push(firstMs);
      mb.push(heldMb);
    }
  }
  process.stdout.write('packages             load ms   first call ms   stem MB\n');
  for (const { row, load, first, mb } of all) {
    const figures = [median(load)!.toFixed(1).padStart(7), median(first)!.toFixed(1).padStart(15)];
    process.stdout.write(
      `${row.name.padEnd(20)}${figures.join(' ')}${median(mb)!.toFixed(1).padStart(11)}\n`,
    );
  }
} finally {
  await engine.close();
  await driver.removeAll();
  rmSync(directory, { recursive: true, force: true });
}
