import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { launchCommand } from '../../../src/confinement/launch.js';
import { prepareRuntime } from '../../../src/confinement/runtime.js';
import { JOIN_GROUPS } from '../../../src/confinement/start-apart.js';
import { ProcessEngine } from '../../../src/engine/process/engine.js';
import { errorOf, SandboxBench } from '../../support/sandboxes.js';

describe('starting a sandbox', () => {
  const bench = new SandboxBench();
  after(() => bench.close());
  const startWith = (engine: ProcessEngine, id: string, joinPaths?: string[]) => {
    const cgroup = bench.driver.create(id, { pidsMax: 32 });
    const joined =
      joinPaths === undefined ? cgroup : Object.create(cgroup, { joinPaths: { value: joinPaths } });
    return engine.start({ id, cgroup: joined, scheduling: 'default', onLog: () => {} });
  };

  it('is refused, with the way out, where its user could not reach its files', async () => {
    const closed = join(bench.directory, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    const engine = new ProcessEngine({ directory: join(closed, 'sandboxes'), confined: bench.confined });
    const checked = await engine.check();
    expect(checked).to.include({ ok: false });
    expect(checked).to.have.property('reason').that.includes(`only its owner may enter ${closed}`);
    const error = await errorOf(startWith(engine, 'closed-0'));
    expect(error).to.include({ code: 'SANDBOX_START' });
    expect(error.hint).to.include('/var/lib');
    expect(bench.driver.list()).to.not.include('closed-0');
  });

  it('fails at once, and leaves nothing, when the chain of programs breaks', async () => {
    const engine = new ProcessEngine({
      directory: join(bench.directory, 'broken'),
      confined: bench.confined,
    });
    const error = await errorOf(startWith(engine, 'broken-0', ['/proc/nowhere/tasks']));
    expect(error).to.include({ code: 'SANDBOX_START' });
    expect(error.message).to.include('sandbox broken-0 did not start').and.not.include('/proc');
    expect(error.ownersMessage).to.include('/proc/nowhere/tasks');
    expect(existsSync(join(bench.directory, 'broken', 'broken-0'))).to.equal(false);
    expect(bench.driver.list()).to.not.include('broken-0');
    await engine.close();
  });

  it('is refused once the engine was closed, which ends all that run', async () => {
    const engine = new ProcessEngine({
      directory: join(bench.directory, 'closing'),
      confined: bench.confined,
    });
    const sandboxes = await Promise.all(['closing-0', 'closing-1'].map((id) => startWith(engine, id)));
    await engine.close();
    for (const sandbox of sandboxes) expect(await sandbox.exited).to.include({ cause: 'killed' });
    expect(await errorOf(startWith(engine, 'closing-2'))).to.include({ code: 'STOPPING' });
  });

  it('joins groups of v1 without the lock that every exec of the host holds', () => {
    const group = join(bench.directory, 'group');
    mkdirSync(group);
    const files = ['tasks', 'cgroup.procs'].map((name) => join(group, name));
    const join0 = (): string[] => {
      for (const file of files) if (existsSync(file)) writeFileSync(file, '');
      execFileSync('/bin/sh', ['-c', JOIN_GROUPS, 'sh', join(group, 'cgroup.procs'), '--', 'true']);
      return files.map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : 'none'));
    };
    for (const file of files) writeFileSync(file, '');
    expect(join0()).to.deep.equal(['0\n', '']);
    rmSync(files[0]!);
    expect(join0()).to.deep.equal(['none', '0\n']);
  });

  it('works with a node binary that only root can reach', () => {
    const hidden = join(bench.directory, 'hidden');
    mkdirSync(hidden, { mode: 0o700 });
    const node = join(hidden, 'node');
    copyFileSync(process.execPath, node);
    const runtime = prepareRuntime(join(bench.directory, 'runtime'), node);
    chmodSync(bench.directory, 0o755);
    const directory = join(bench.directory, 'nothing');
    mkdirSync(directory);
    const launch = { uid: 64_999, joinPaths: [], scheduling: 'default', directory, runtime } as const;
    const [shell, ...args] = launchCommand(launch, [
      runtime.nodeInside,
      '-p',
      'process.getuid() + process.version',
    ]);
    expect(execFileSync(shell!, args, { encoding: 'utf8' }).trim()).to.equal(`64999${process.version}`);
    rmSync(hidden, { recursive: true });
  });
});
