import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { ProcessEngine } from '../../../src/engine/process/engine.js';
import { openCgroupDriver } from '../../../src/linux/cgroup/open.js';
import { ask, SandboxBench } from '../../support/sandboxes.js';
import { until } from '../../support/waiting.js';

const AGENT = fileURLToPath(new URL('../../support/sandbox-agent.js', import.meta.url));

describe('when the agent is killed with SIGKILL', () => {
  const bench = new SandboxBench();
  after(() => bench.close());

  it('no process of its sandboxes survives, whatever they do, and the next agent clears the rest', async () => {
    const rootName = `nemo-test-orphan-${process.pid}`;
    const directory = `${bench.directory}/orphans`;
    const agent = spawn(process.execPath, [AGENT, rootName, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const driver = openCgroupDriver({ rootName, idle: false });
    try {
      let members: number[] = [];
      for await (const line of createInterface({ input: agent.stdout! })) {
        members = (JSON.parse(line) as { joinPaths: string[] }).joinPaths
          .flatMap((path) => readFileSync(path, 'utf8').trim().split('\n'))
          .map(Number);
        break;
      }
      // A stem, a sandbox with children of its own that hears no signal, one that spins.
      expect(new Set(members).size).to.be.greaterThan(8);
      const gone = once(agent, 'exit');
      agent.kill('SIGKILL');
      await gone;
      await until(() => members.every((pid) => !existsSync(`/proc/${pid}`)));

      const engine = new ProcessEngine({ directory, confined: bench.confined });
      expect(await engine.check()).to.deep.equal({ ok: true });
      for (const name of ['sb-0', 'sb-1', 'sb-2'])
        expect(existsSync(`${directory}/${name}`), name).to.equal(false);
      await engine.close();
    } finally {
      agent.kill('SIGKILL');
      await driver.removeAll();
    }
  });

  it('a sandbox killed from outside fails its call and is cleared away', async () => {
    const sandbox = await bench.run('export default (event) => event ?? new Promise(() => {})');
    expect(await ask(sandbox, 1)).to.equal(1);
    const error = ask(sandbox).catch((thrown: unknown) => thrown);
    process.kill(sandbox.pid, 'SIGKILL');
    expect(await error).to.include({ code: 'FUNCTION_EXIT' });
    expect(await sandbox.exited).to.include({ cause: 'crashed', signal: 'SIGKILL' });
    expect(bench.driver.list()).to.not.include(sandbox.id);
  });
});
