import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { build } from 'esbuild';
import fc from 'fast-check';
import { checkConfined, readAnswer } from '../../src/confinement/confined/check-function.js';
import { type ConfinedOutcome, runConfined } from '../../src/confinement/confined/child.js';
import { type ConfinedPlace, confinedCommand } from '../../src/confinement/confined/command.js';
import { Confined } from '../../src/confinement/confined/confined.js';
import type { ProgramName } from '../../src/confinement/confined/runtime.js';
import { onlineCores } from '../../src/linux/online-cores.js';
import { NemoError } from '../../src/model/errors.js';
import { CONFINED } from '../../src/tunables/index.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { errorOf, SandboxBench } from '../support/sandboxes.js';
import { moduleOf } from '../support/sources.js';

const ATTACK = fileURLToPath(new URL('support/confined-attack.js', import.meta.url));
const MIB = 1 << 20;

describe('work on code of strangers', function () {
  this.timeout(60_000);
  const bench = new SandboxBench();
  const { confined } = bench;
  const check = (code: string, filename = 'f.ts') => checkConfined(confined, Buffer.from(code), filename);
  const left = () => bench.driver.list().filter((name) => name.startsWith('confined'));
  after(() => bench.close());
  afterEach(() => expect(left(), 'groups that are left').to.deep.equal([]));

  for (const [what, code] of Object.entries({
    'code nested three million deep': `export default ${'('.repeat(3e6)}1${')'.repeat(3e6)}`,
    'a text of 1 MB that is put in 3,000 times': `enum A { x = '${'y'.repeat(1e6)}' }\nexport default [${'A.x,'.repeat(3_000)}];`,
  })) {
    it(`ends, and nothing else does, with ${what}`, async () => {
      const before = process.memoryUsage().rss;
      const error = await errorOf(check(code));
      expect([error.code, error.message.includes('took too much')], error.message).to.deep.equal([
        'BAD_FUNCTION',
        true,
      ]);
      expect(process.memoryUsage().rss - before).to.be.lessThan(256 * MIB);
      expect((await check('export default () => 1;')).code).to.contain('1');
    });
  }

  it('is done by an engine in such a process, not in the agent', async () => {
    const engine = await bench.engine();
    const seen = new Set<string>();
    const driver = bench.driver as { create(...all: unknown[]): unknown };
    const { create } = driver;
    driver.create = (...all) => {
      seen.add(String(all[0]));
      return create.apply(bench.driver, all);
    };
    try {
      const source = moduleOf('export default () => 1;');
      expect(`${await engine.prepare({ functionName: 'f', source })}`).to.contain('export');
    } finally {
      driver.create = create;
    }
    expect([...seen].join()).to.match(/^confined-\d+$/);
  });

  it('takes in no file, of the host or of its own program', async () => {
    const folder = join(bench.directory, 'host');
    mkdirSync(folder);
    writeFileSync(join(folder, 'x.js'), 'export default "taken";');
    for (const path of [
      join(folder, 'x.js'),
      '/program/bundle.cjs',
      '/esbuild/lib/main.js',
      '/proc/self/environ',
      './x.js',
    ])
      expect((await errorOf(check(`import x from "${path}"; export default () => x;`))).code, path).to.equal(
        'BAD_FUNCTION',
      );
  });

  it('is done few at a time, few wait, and all others are told so', async () => {
    const many = CONFINED.jobs + CONFINED.jobsWaiting + 4;
    const outcomes = await Promise.allSettled(
      Array.from({ length: many }, (_, i) => check(`export default () => ${i};`)),
    );
    const refused = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(refused.map(({ reason }) => (reason as NemoError).code)).to.deep.equal(
      Array(4).fill('OVERLOADED'),
    );
  });

  describe('taken over by that code', () => {
    let program: string;
    before(async () => {
      program = join(bench.directory, 'attack.cjs');
      const built = join(bench.directory, 'built.mjs');
      await build({
        entryPoints: [ATTACK],
        outfile: built,
        bundle: true,
        platform: 'node',
        format: 'esm',
        logLevel: 'silent',
      });
      copyFileSync(built, `${program.slice(0, -4)}.mjs`);
      program = `${program.slice(0, -4)}.mjs`;
      chmodSync(program, 0o644);
    });

    /** As one of the programs is run, with another file in its place. */
    const attack = (
      name: ProgramName,
      args: string[],
      { timeoutMs = 60_000, cpuMaxSeconds = 20 } = {},
    ): Promise<ConfinedOutcome> =>
      confined.within(async (place) => {
        const runtime = place.runtimes[name];
        const inside = '/program/attack.mjs';
        const binds = [...runtime.binds, [program, inside] as const];
        const runtimes = { ...place.runtimes, [name]: { ...runtime, binds, runnerInside: inside } };
        const command = confinedCommand({ ...place, runtimes } as ConfinedPlace, {
          ...{ program: name, args, cpuMaxSeconds },
        });
        return runConfined(command, { input: Buffer.alloc(0), outputMaxBytes: MIB, timeoutMs });
      });

    for (const [name, root] of [
      ['bundle', ['esbuild']],
      ['wasm', []],
      ['unpack', []],
      ['inflate', []],
      ['index', []],
    ] as const) {
      it(`sees and reaches nothing: ${name}`, async () => {
        const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
        await once(server, 'listening');
        const outcome = await attack(name, ['look', `${(server.address() as AddressInfo).port}`]);
        server.close();
        expect(outcome.kind, JSON.stringify(outcome)).to.equal('answered');
        const saw = JSON.parse((outcome as { output: Buffer }).output.toString()) as Record<string, unknown>;
        const allowed = [
          'dev',
          'etc',
          'function',
          'lib',
          'lib64',
          'proc',
          'program',
          'tmp',
          'usr',
          'var',
          ...root,
        ];
        expect((saw.root as string[]).filter((one) => !allowed.includes(one))).to.deep.equal([]);
        expect([saw.passwd, saw.state]).to.deep.equal(['ENOENT', 'ENOENT']);
        expect([saw.writeRoot, saw.writeProgram]).to.deep.equal(['EROFS', 'EROFS']);
        // A network of its own, without anybody in it; or no IP sockets at all.
        expect(saw.network).to.be.oneOf(['ECONNREFUSED', 'EPERM']);
        expect(saw).to.include({ capabilities: '0000000000000000', filter: '2', privileges: '1' });
        expect(saw.uid).to.be.within(CONFINED.firstUid, CONFINED.firstUid + CONFINED.uidCount - 1);
        // bwrap's own process and this one.
        expect(saw.processes).to.be.at.most(2);
        expect(saw.cores).to.equal(`${onlineCores()[0]}`);
        expect(saw.environment).to.deep.equal(['HOME', 'LANG', 'LOGNAME', 'PATH', 'PWD', 'TZ', 'USER']);
        if (name !== 'bundle') expect(saw.child).to.not.match(/^got/);
      });
    }

    it('is ended when it takes too much memory, time or output', async () => {
      expect(await attack('unpack', ['memory'])).to.deep.equal({
        kind: 'ended',
        why: 'took too much memory',
      });
      expect(await attack('wasm', ['time'], { timeoutMs: 1_500 })).to.deep.equal({
        kind: 'starved',
        seconds: 1.5,
      });
      expect(await attack('wasm', ['time'], { cpuMaxSeconds: 1 })).to.deep.equal({
        kind: 'ended',
        why: 'took too much CPU time',
      });
      expect(await attack('index', ['output'])).to.deep.equal({ kind: 'ended', why: 'printed too much' });
    });
  });

  it('is bounded in time, and is not said to be at fault where it got none', async () => {
    const { driver, directory } = bench;
    const hasty = new Confined({
      ...{
        directory: join(directory, 'hasty'),
        driver,
        housekeepingCores: [onlineCores()[0]!],
        timeoutMs: 1,
      },
    });
    const error = await errorOf(checkConfined(hasty, Buffer.from('export default 1'), 'f.js'));
    expect([error.code, error.message.includes('other programs')]).to.deep.equal(['OVERLOADED', true]);
    await hasty.close();
    expect(existsSync(join(directory, 'hasty', 'runtime'))).to.equal(false);
  });

  it('leaves no folder', async () => {
    await check('export default 1');
    const folders = readdirSync(join(bench.directory, 'confined'));
    expect(folders).to.deep.equal(['runtime']);
  });

  it('answers what is checked too: hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.string());
    fuzz(
      fc.oneof(
        fc.string().map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
        fc
          .record(
            {
              code: value,
              imports: value,
              error: fc.oneof(value, fc.record({ message: value, hint: value, details: value })),
            },
            { requiredKeys: [] },
          )
          .map((answer) => Buffer.from(JSON.stringify(answer))),
      ),
      (output) => {
        try {
          const { code, imports } = readAnswer(output);
          return typeof code === 'string' && imports.every((one) => typeof one === 'string');
        } catch (error) {
          return error instanceof NemoError && ['BAD_FUNCTION', 'INTERNAL'].includes(error.code);
        }
      },
    );
  });
});
