/**
 * Boundary: what a sandbox sends to the agent. A function writes to its sandbox's socket and pipes itself; another
 * function is called all along. The tests run in the process that reads, so whatever would end the agent ends them.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { prepareRuntime } from '../../src/confinement/runtime.js';
import { IsolateHost } from '../../src/engine/isolate/host.js';
import { onlineCores } from '../../src/linux/online-cores.js';
import { NemoError } from '../../src/model/errors.js';
import { functionRef } from '../../src/model/function-ref.js';
import { FrameType } from '../../src/runner/frames.js';
import type { Sandbox, SandboxReply } from '../../src/sandbox/engine.js';
import { readLog } from '../../src/sandbox/log-lines.js';
import { CHANNEL, CONTROL_LINE, LOG } from '../../src/tunables/index.js';
import { FUZZ_RUNS, FUZZ_TIMEOUT_MS, fuzzAsync } from '../support/fuzz.js';
import { ask, call, errorOf, json, SandboxBench } from '../support/sandboxes.js';
import { WASM } from '../support/sources.js';
import { ECHO_REACTOR } from '../support/wasm-modules.js';
import { frameBytes } from './support/hostile-bytes.js';
import { SENDER } from './support/sender.js';

const MODULE = Buffer.from('export default (event) => ({ got: event });');
/** Sandboxes are started for these: some hundred at most. */
const SANDBOXES_SHARE = Math.min(0.005, 500 / FUZZ_RUNS);

/** A call whose answer is taken by `reply`; resolves with how it ended. */
function callWith(
  sandbox: Sandbox,
  reply: Partial<SandboxReply>,
  event?: unknown,
): Promise<NemoError | 'end'> {
  const { body = '', headers = {} } = event === undefined ? {} : json(event);
  return new Promise((resolve) => {
    const request = { callId: 'c', ref: functionRef('probe'), method: 'POST', path: '/', query: '', headers };
    sandbox.invoke({ ...request, body: Buffer.from(body) }, performance.now() + 30_000, {
      onHead: reply.onHead ?? (() => {}),
      onChunk: reply.onChunk ?? (() => {}),
      onEnd: () => {
        resolve('end');
        reply.onEnd?.();
      },
      onError: (error) => {
        resolve(error);
        reply.onError?.(error);
      },
    });
  });
}

describe('what a sandbox sends to the agent', function () {
  this.timeout(30_000);
  const bench = new SandboxBench();
  let neighbour: Sandbox;
  let asked = 0;
  before(async () => {
    neighbour = await bench.run(MODULE);
  });
  after(() => bench.close());
  const neighbourAnswers = async (): Promise<void> => {
    expect(await ask(neighbour, ++asked)).to.deep.equal({ got: asked });
  };
  afterEach(neighbourAnswers);

  it('takes answers of a sandbox that reads large calls, several at a time, while others are on their way', async () => {
    const sandbox = await bench.run('export default (event) => event.length;', { concurrency: 8 });
    const body = `"${'x'.repeat(6 * 2 ** 20)}"`;
    const event = { body, headers: { 'content-type': 'application/json' } };
    const answers = await Promise.all(Array.from({ length: 8 }, () => call(sandbox, event)));
    expect(answers.map((answer) => answer.body.toString())).to.deep.equal(Array(8).fill(`${6 * 2 ** 20}`));
  });

  const control = ['ready', 'loaded', 'loadFailed', 'forgotten', 'wanted', 'memory', 'log'] as const;
  for (const name of control) {
    it(`ends a sandbox that floods with "${name}", which nobody asked for`, async () => {
      const sandbox = await bench.run(
        `${SENDER} export default () => flood(3, times(frame(${FrameType[name]}, 0, '', 1, 0, '{}'), 3000))`,
      );
      const error = await errorOf(call(sandbox));
      expect([error.code, error.message]).to.deep.equal([
        'FUNCTION_EXIT',
        'the sandbox of probe was ended: it sent too many frames that nobody asked for',
      ]);
      expect(await sandbox.exited).to.include({ cause: 'killed' });
    });
  }

  it('takes no second "ready" or "loaded" for one, nor an answer to a call that is not open', async () => {
    const sandbox = await bench.run(`${SENDER} export default () => {
      for (const type of [16, 17, 18, 26, 27]) writeSync(3, frame(type, 0, '', 0, 0, '{"code":"BAD_FUNCTION"}'));
      for (const type of [19, 20, 21, 22, 23]) writeSync(3, frame(type, 77, 'evil', 1, 200, '{}'));
      return 'good';
    }`);
    for (let i = 0; i < 3; i++) expect((await call(sandbox)).body.toString()).to.equal('good');
  });

  it('reads a flood of tiny chunks within a call at its own pace, and a neighbour’s calls meanwhile', async () => {
    const sandbox = await bench.run(`${SENDER} export default () => {
      writeSync(3, frame(20, 1, '', 0, 200, '{}'));
      return flood(3, times(frame(21, 1, 'x'), 3000));
    }`);
    let chunks = 0;
    const startMs = performance.now();
    const ended = callWith(sandbox, { onChunk: () => void chunks++ });
    for (let i = 0; i < 200; i++) await neighbourAnswers();
    while (chunks < 3 * CHANNEL.tokensPerSecond) await neighbourAnswers();
    const seconds = (performance.now() - startMs) / 1_000;
    // The bucket, what fills it meanwhile, and one read beyond; unpaced it is a million a second.
    expect(chunks).to.be.at.most((seconds + 2) * CHANNEL.tokensPerSecond + 4_000);
    await sandbox.kill();
    expect(await ended).to.include({ code: 'FUNCTION_EXIT' });
  });

  for (const [what, script] of [
    ['single bytes', 'for (;;) writeSync(1, "x")'],
    ['empty lines', 'const all = "\\n".repeat(65536); for (;;) writeSync(1, all)'],
    ['long lines', 'const all = "x".repeat(65536); for (;;) writeSync(1, all)'],
  ] as const) {
    it(`reads a flood of ${what} on stdout at its own pace`, async () => {
      const child = spawn(process.execPath, ['-e', `const { writeSync } = require('fs'); ${script}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }) as ChildProcess;
      const ends = { onViolation: () => {}, onFault: () => {} };
      let spent = 0;
      let lines = 0;
      const log = readLog(child.stdout!, ends, () => void lines++);
      child.stdout!.on('data', (bytes: Buffer) => {
        let ofLines = 0;
        for (const byte of bytes) if (byte === 10) ofLines++;
        spent += LOG.tokensPerRead + bytes.length / LOG.bytesPerToken + ofLines;
      });
      const startMs = performance.now();
      while (spent < 2.5 * LOG.tokensPerSecond) await neighbourAnswers();
      const seconds = (performance.now() - startMs) / 1_000;
      expect(spent).to.be.at.most((seconds + 2) * LOG.tokensPerSecond + 2 * 65_536);
      expect(lines).to.be.at.most((seconds + 2) * (LOG.linesPerSecond + 1));
      const ended = once(child, 'close');
      log.writerEnded();
      child.kill('SIGKILL');
      await ended;
    });
  }

  it('holds no memory for what an idle sandbox claims to send', async () => {
    const sandbox = await bench.run(`${SENDER} export default () => {
      const claim = frame(19, 99);
      claim.writeUInt32LE(8 << 20, 0);
      writeSync(3, claim);
      return new Promise(() => {});
    }`);
    expect((await errorOf(call(sandbox))).message).to.contain('a frame claims 0 + 8388608 bytes');
  });

  describe('where handling it fails', () => {
    const broken = new Error('a handler that throws');
    const thrower = (): never => {
      throw broken;
    };
    const warnings: string[] = [];
    const { write } = process.stderr;
    before(() => {
      process.stderr.write = (line: string | Uint8Array) => warnings.push(String(line)) > 0;
    });
    after(() => {
      process.stderr.write = write;
    });

    for (const engine of ['process', 'isolate', 'wasm'] as const) {
      for (const handler of ['onHead', 'onChunk', 'onEnd'] as const) {
        it(`ends that sandbox of ${engine} with INTERNAL (${handler}), and nothing else`, async () => {
          const own = engine === 'process' ? bench : new SandboxBench(engine);
          try {
            const sandbox = await startProbe(own, engine);
            const end = await callWith(sandbox, { [handler]: thrower }, 'x');
            if (handler !== 'onEnd') {
              expect(end).to.be.instanceOf(NemoError).with.property('code', 'INTERNAL');
              expect((end as NemoError).message).to.contain('a handler that throws');
            }
            await sandbox.exited;
            const late = await errorOf(call(sandbox));
            expect([late.code, late.details?.started]).to.deep.equal(['FUNCTION_EXIT', false]);
            expect(warnings.at(-1)).to.contain('a handler that throws');
            const next = await startProbe(own, engine);
            expect((await call(next, json('x'))).status).to.equal(200);
            await next.kill();
          } finally {
            if (own !== bench) await own.close();
          }
        });
      }
    }

    it('tells every caller of the end of its sandbox, also if one cannot be told', async () => {
      const sandbox = await bench.run('export default () => new Promise(() => {})', { concurrency: 3 });
      const ends = [{ onError: thrower }, {}, { onError: thrower }].map((reply) => callWith(sandbox, reply));
      await sandbox.kill();
      for (const end of await Promise.all(ends)) expect(end).to.include({ code: 'FUNCTION_EXIT' });
      expect(await sandbox.exited).to.include({ cause: 'killed' });
    });

    it('ends a sandbox whose printed lines cannot be taken', async () => {
      let lines = 0;
      const sandbox = await bench.start({
        onLog: () => {
          lines++;
          thrower();
        },
      });
      await bench.load(sandbox, 'export default () => { console.log("x"); return new Promise(() => {}); }');
      expect((await errorOf(call(sandbox))).code).to.equal('INTERNAL');
      expect(lines).to.equal(1);
      await sandbox.exited;
    });
  });

  describe('the control of a process of isolates', () => {
    for (const [what, script] of [
      [
        'a line without an end',
        `const all = 'x'.repeat(1 << 20); const go = () => agent.write(all, go); go();`,
      ],
      ['lines that are no objects', `agent.write('null\\n[]\\n0\\n"up"\\n{'.repeat(100) + '\\n');`],
      [
        'ends of threads that it does not have',
        `agent.write('{"event":"exit","id":"t99","oom":false,"code":0}\\n'.repeat(100));`,
      ],
      [
        '"up", over and over',
        `const all = '{"event":"up"}\\n'.repeat(1000); const go = () => agent.write(all, go); go();`,
      ],
      [
        'nothing, on one connection after the other',
        `const go = () => connect(process.argv[3]).on('error', () => {}).on('close', go); go();`,
      ],
    ] as const) {
      it(`ends a process that sends ${what}`, async () => {
        const directory = join(bench.directory, `evil-${what.length}`);
        const runtime = prepareRuntime(`${directory}-runtime`);
        writeFileSync(
          join(`${directory}-runtime`, 'runner', 'main.js'),
          `import { connect, Socket } from 'node:net';
           const agent = new Socket({ fd: 3, readable: false, writable: true });
           agent.on('error', () => {});
           ${script}
           setInterval(() => {}, 1000);`,
        );
        const cores = onlineCores();
        const host = new IsolateHost({
          ...{ name: `evil-${what.length}`, driver: bench.driver, cores, housekeepingCores: [cores[0]!] },
          ...{
            directory,
            uid: 63_899,
            runtime,
            program: '/runner/main.js',
            scheduling: 'default',
            sharesModules: false,
          },
        });
        // It ends: nobody asked it to.
        await host.exited;
        expect(host.closing).to.equal(true);
        await host.close();
      });
    }
    it('has a bound for each line', () => expect(CONTROL_LINE.hostMaxBytes).to.be.below(64 * 1024));
  });

  it('hostile messages of a real sandbox: its frames are ignored or it ends, its neighbour answers', async () => {
    const code = `${SENDER} export default (event) => {
      for (const part of event) { try { writeSync(3, Buffer.from(part, 'base64')); } catch {} }
      return 'sent';
    }`;
    await fuzzAsync(
      fc.array(frameBytes, { minLength: 1, maxLength: 8 }),
      async (parts) => {
        const sandbox = await bench.run(code);
        const told: string[] = [];
        const event = parts.map((part) => part.toString('base64'));
        const end = callWith(
          sandbox,
          { onHead: () => void told.push('head'), onChunk: () => void told.push('chunk') },
          event,
        );
        await neighbourAnswers();
        await neighbourAnswers();
        await sandbox.kill();
        const how = await end;
        if (how !== 'end') expect(how.code).to.match(/^(FUNCTION_|BAD_REQUEST|BODY_TOO_LARGE)/);
        expect(told.filter((one) => one === 'head').length).to.be.at.most(1);
        expect(bench.driver.list()).to.not.include(sandbox.id);
        return true;
      },
      SANDBOXES_SHARE,
    );
  }).timeout(FUZZ_TIMEOUT_MS);
});

function startProbe(bench: SandboxBench, engine: 'process' | 'isolate' | 'wasm'): Promise<Sandbox> {
  if (engine !== 'wasm') return bench.run(MODULE, { variant: bench.variantFor('owner') });
  return bench.run(ECHO_REACTOR, { source: WASM, variant: bench.variantFor('owner') });
}
