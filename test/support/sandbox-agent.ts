/**
 * A stand-in for the agent, to be killed: starts three sandboxes that do not want to die, prints where their
 * processes are listed, and waits. Arguments: name of the cgroup root, directory of the engine.
 */

import { writeFileSync } from 'node:fs';
import { ProcessEngine } from '../../src/engine/process/engine.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { functionRef } from '../../src/model/function-ref.js';
import { confinedIn } from './sandboxes.js';

const [rootName, directory] = process.argv.slice(2) as [string, string];
const driver = openCgroupDriver({ rootName, idle: false });
const engine = new ProcessEngine({ directory, confined: confinedIn(directory, driver) });
const start = (id: string) =>
  engine.start({
    id,
    cgroup: driver.create(id, { memoryMaxBytes: 256 * 1024 * 1024, pidsMax: 64 }),
    scheduling: 'default',
    onLog: () => {},
  });

const bundlePath = `${directory}-stubborn.mjs`;
writeFileSync(
  bundlePath,
  `import { spawn } from 'node:child_process';
   for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.on(signal, () => {});
   const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore', detached: true });
   await new Promise((resolve) => child.on('spawn', resolve));
   export default () => { for (;;); };`,
);
const stem = await start('sb-0');
const stubborn = await start('sb-1');
const spinning = await start('sb-2');
for (const sandbox of [stubborn, spinning]) {
  const limits = { memoryBytes: 256 * 1024 * 1024, timeoutMs: 10_000 };
  await sandbox.load({ ref: functionRef('stubborn'), bundlePath, env: {}, ...limits });
}
const call = {
  callId: 'x',
  ref: functionRef('stubborn'),
  method: 'GET',
  path: '/',
  query: '',
  headers: {},
  body: Buffer.alloc(0),
};
spinning.invoke(call, Number.MAX_SAFE_INTEGER, { onHead() {}, onChunk() {}, onEnd() {}, onError() {} });
const usedNs = spinning.cgroup.usage().cpuNs;
const seen = setInterval(() => {
  if (spinning.cgroup.usage().cpuNs < usedNs + 20_000_000) return;
  clearInterval(seen);
  const joinPaths = [stem, stubborn, spinning].map((sandbox) => sandbox.cgroup.joinPaths[0]);
  process.stdout.write(`${JSON.stringify({ joinPaths })}\n`);
  setInterval(() => {}, 60_000);
}, 5);
