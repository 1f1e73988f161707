import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import { call, errorOf, SandboxBench } from '../support/sandboxes.js';
import { runSession, type Step, storeI32, storeI64, wasiSession } from '../support/wasi-session.js';
import { ECHO_COMMAND, n } from '../support/wasm-modules.js';

/** `thread::sleep` and `time.Sleep` had ENOSYS, at which Rust's and Go's programs end. */
describe('a wasm program that sleeps', () => {
  const bench = new SandboxBench('wasm', { group: 'mine' });
  after(() => bench.close());
  const sleep = (ns: number): Step[] => [
    ...[
      storeI64(64, 7),
      storeI64(72, 0),
      storeI32(80, 1),
      storeI64(88, ns),
      storeI64(96, 0),
      storeI32(104, 0),
    ],
    ['poll_oneoff', n(64), n(128), n(1), n(192)],
  ];

  it('goes on afterwards, and used no CPU meanwhile', async () => {
    const sandbox = await bench.run(wasiSession(sleep(400_000_000)));
    const before = sandbox.cgroup.usage().cpuNs;
    const { errors, memory } = await runSession(sandbox, 1);
    expect([errors, memory.readInt32LE(192)]).to.deep.equal([[0], 1]);
    expect(sandbox.cgroup.usage().cpuNs - before, 'ns of CPU in a sleep of 400 ms').to.be.below(200_000_000);
  });

  it('is ended at its deadline as one that computes, and its neighbour answers on', async () => {
    const [poll] = sleep(0).slice(-1);
    // The upper half of the nanoseconds: more than an hour.
    const endless = [...sleep(0).slice(0, -1), storeI32(92, 1_000), poll!];
    const [sleeper, neighbour] = await Promise.all([
      bench.run(wasiSession(endless)),
      bench.run(ECHO_COMMAND),
    ]);
    const sleeping = errorOf(call(sleeper!));
    expect((await call(neighbour!, { body: 'a' })).body.toString()).to.equal('a');
    await sleeper!.kill(new NemoError('FUNCTION_TIMEOUT', 'too long'));
    expect((await sleeping).code).to.equal('FUNCTION_TIMEOUT');
    expect((await call(neighbour!, { body: 'b' })).body.toString()).to.equal('b');
  });
});
