/**
 * The threads of an isolate's process: which of them is a function's is not for whoever took the process over to say, and
 * those that work for its function behind its back are counted and held with it.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { tasksPath } from '../../src/control/gate.js';
import type { Cgroup } from '../../src/linux/cgroup/driver.js';
import { membersOf } from '../../src/linux/cgroup/files.js';
import { ask, errorOf, SandboxBench } from '../support/sandboxes.js';

const tasksOf = ({ handle }: Cgroup): number[] =>
  readFileSync(tasksPath(handle), 'utf8').trim().split('\n').map(Number);

describe('a function in an isolate and the threads of its process', () => {
  const bench = new SandboxBench('isolate');
  after(() => bench.close());

  it('works on none that is not counted and held as its own: all but the main one are', async () => {
    // Hashes passwords on the helpers of node.
    const code = `import { pbkdf2 } from 'node:crypto';
      export default () => new Promise((done) => pbkdf2('a', 'b', 1000, 64, 'sha512', () => done(1)));`;
    const sandbox = await bench.run(code);
    expect(await ask(sandbox)).to.equal(1);
    const process = [...membersOf(bench.driver.rootPaths[0]!)].find(
      (pid) => readdirSync(`/proc/${pid}/task`).length > 1,
    )!;
    const threads = readdirSync(`/proc/${process}/task`).map(Number);
    expect(threads.length).to.be.greaterThan(4);
    expect(tasksOf(sandbox.cgroup)).to.have.members(threads.filter((tid) => tid !== process));
    await sandbox.kill();
  });

  it('is not started when it names another thread of the process as its own', async () => {
    const program = join(bench.directory, 'sandboxes/isolate/runtime/runner/thread.js');
    const text = readFileSync(program, 'utf8');
    // The second after the main one, which is 2 in there: a helper.
    const lie = text.replace('hello: { token, thread }', 'hello: { token, thread: 4 }');
    expect(lie).to.not.equal(text);
    writeFileSync(program, lie);
    try {
      const error = await errorOf(bench.start());
      expect(error.code).to.equal('SANDBOX_START');
      expect(error.message).to.contain('not its own');
    } finally {
      writeFileSync(program, text);
    }
  });
});
