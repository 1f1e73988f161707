import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import fc from 'fast-check';
import type { SandboxSlots } from '../../src/control/sandbox-slots.js';
import { Engines } from '../../src/engine/engines.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { onlineCores } from '../../src/linux/online-cores.js';
import { startTicks } from '../../src/linux/process.js';
import type { FunctionSpec } from '../../src/model/function.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { NfInstance } from '../../src/model/nf-profile.js';
import { Guardian, guardianDone } from '../../src/nf/guardian.js';
import { groupPath } from '../../src/nf/memory-group.js';
import { MEMORY_MIN, parseMemoryEntries } from '../../src/nf/memory-journal.js';
import { OOM_SCORES } from '../../src/nf/oom-scores.js';
import { NfProtection } from '../../src/nf/protection.js';
import { Pool } from '../../src/pool/pool.js';
import { POOL } from '../../src/tunables/index.js';
import { startProgram } from '../nf/victim.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { RealAgent } from '../support/real-agent.js';
import { ask, SandboxBench } from '../support/sandboxes.js';
import { ECHO_REACTOR } from '../support/wasm-modules.js';

const MIB = 2 ** 20;
const EATER = fileURLToPath(new URL('./support/eater.js', import.meta.url));

/** Writes to connections that nobody reads, as much as they take. */
const FILLS_SOCKETS = `
  import { connect, createServer } from 'node:net';
  const chunk = Buffer.alloc(8 * 1024 * 1024);
  const held = [];
  export default async () => {
    const server = createServer({ pauseOnConnect: true }, (socket) => held.push(socket.on('error', () => {})));
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    for (let i = 0; i < 100; i++) {
      const socket = connect(server.address().port, '127.0.0.1').on('error', () => {});
      held.push(socket);
      await new Promise((done) => socket.once('connect', done));
      socket.write(chunk);
    }
    await new Promise((done) => setTimeout(done, 500));
    return held.length;
  };`;

/** Of TCP in all namespaces. */
function socketBytes(): number {
  return Number(/TCP:.* mem (\d+)/.exec(readFileSync('/proc/net/sockstat', 'utf8'))![1]) * 4096;
}

describe('escape by memory', function () {
  this.timeout(90_000);

  describe('of a box', () => {
    const HOLDS = `export default () => new Promise((done) => setTimeout(() => done('held'), 3000));`;
    /** Functions that may use 40 % of the box each, called at the same time: how their calls ended. */
    const callThree = async (agent: RealAgent): Promise<string[]> => {
      await agent.start();
      const memory = `${Math.floor((totalmem() * 0.4) / MIB)}Mi`;
      const names = ['a', 'b', 'c'];
      for (const name of names) expect((await agent.deploy(name, HOLDS, { memory })).ok).to.equal(true);
      const replies = await Promise.all(names.map((name) => agent.call(name)));
      return replies.map(({ code, body }) => code || body).sort();
    };
    let agent: RealAgent;
    afterEach(() => agent.close());

    it('is not over-committed by default: what may be used together is there', async () => {
      agent = new RealAgent({ pool: { prewarm: 'none' } });
      expect(await callThree(agent)).to.include('NO_CAPACITY');
    });

    it('is over-committed where its operator says so, and that is said', async () => {
      agent = new RealAgent({ pool: { prewarm: 'none', overcommit: 3 } });
      expect(await callThree(agent)).to.deep.equal(['held', 'held', 'held']);
      const { warnings } = (await agent.status()).agent;
      expect(warnings.some((warning) => warning.includes('over-committed by 3'))).to.equal(true);
    });
  });

  describe('of what runs a function, which the function can fill as well', () => {
    const CODE = { process: 'export default () => 1', isolate: 'export default () => 1', wasm: ECHO_REACTOR };
    /** Of the groups right below that of all sandboxes, together. */
    const kernelLimits = async (bench: SandboxBench): Promise<number> => {
      const threads = (await bench.engine()).processGroup !== undefined;
      let bytes = 0;
      for (const root of bench.driver.rootPaths) {
        for (const name of readdirSync(root)) {
          // The memory of a thread is its process's, which has a limit in one group.
          if (threads && (name.startsWith('sb-') || name.endsWith('-main'))) continue;
          const files = ['memory.limit_in_bytes', 'memory.max'].map((file) => join(root, name, file));
          for (const file of files.filter(existsSync)) bytes += Number(readFileSync(file, 'utf8'));
        }
      }
      return bytes;
    };

    for (const [kind, code] of Object.entries(CODE)) {
      for (const group of kind === 'process' ? [undefined] : [undefined, 'mine']) {
        it(`is counted as the kernel bounds it: ${kind}, ${group ?? 'no'} sharing group`, async () => {
          const bench = new SandboxBench(kind);
          const bundle = join(bench.directory, 'bundle');
          writeFileSync(bundle, code);
          const pool = new Pool({
            ...{ engines: new Engines([bench.entry]), driver: bench.driver, scheduling: 'default' },
            control: { addSandbox: () => 0, removeSandbox() {}, setBusy() {} } as unknown as SandboxSlots,
            bundlePath: () => bundle,
            packagePath: () => bundle,
            onLog() {},
            onEnded() {},
          });
          try {
            const spec = {
              ...{
                ref: functionRef('f'),
                engine: kind,
                codeHash: '',
                codeEnding: 'mjs',
                env: {},
                timeoutMs: 10_000,
              },
              ...{ memoryBytes: POOL.memoryMaxDefaultBytes, concurrency: 1, createdMs: 0 },
              ...(group === undefined ? {} : { sharingGroup: group }),
            } as unknown as FunctionSpec;
            for (let i = 0; i < 2; i++)
              await pool.load(await pool.make(onlineCores()[0]!, pool.stemKind(spec)), spec);
            expect(pool.committedBytes).to.equal(await kernelLimits(bench));
          } finally {
            await bench.close();
          }
        });
      }
    }
  });

  it('is not taken in sockets either, of which the kernel has one budget for the box', async () => {
    const bench = new SandboxBench();
    try {
      const sandbox = await bench.run(FILLS_SOCKETS);
      const before = socketBytes();
      expect(await ask(sandbox)).to.equal(200);
      // Without a limit of its own it was more than 100 MB, and with more processes all that the box may have.
      expect(socketBytes() - before).to.be.lessThan(40 * MIB);
    } finally {
      await bench.close();
    }
  });

  it('is not there for all functions together beyond their share, whatever the limit of each is', async () => {
    const driver = openCgroupDriver({ rootName: `nemo-test-memory-${process.pid}`, idle: false });
    try {
      expect(driver.limitMemory(160 * MIB, 80 * MIB)).to.equal(true);
      const group = driver.create('a', { memoryMaxBytes: 1024 * MIB });
      const join =
        'for file; do [ "$file" = -- ] && break; echo 0 >"$file" || exit 97; shift; done; shift; exec "$@"';
      const args = ['-c', join, 'sh', ...group.joinPaths, '--', process.execPath, EATER];
      const small = spawn('sh', [...args, '20'], { stdio: ['pipe', 'pipe', 'inherit'] });
      await once(small.stdout!, 'data');
      small.stdin!.end();
      expect(await once(small, 'exit')).to.deep.equal([0, null]);
      const large = spawn('sh', [...args, '400'], { stdio: ['pipe', 'pipe', 'inherit'] });
      expect(await once(large, 'exit')).to.deep.equal([null, 'SIGKILL']);
    } finally {
      await driver.removeAll();
    }
  });

  describe('kept for NFs', () => {
    const MOUNT = '/sys/fs/cgroup';

    for (const [text, path] of [
      ['0::/system.slice/nginx.service\n', `${MOUNT}/system.slice/nginx.service`],
      ['4:memory:/x\n0::/a/b\\x2dc.scope\n', `${MOUNT}/a/b\\x2dc.scope`],
      ['0::/\n', MOUNT],
      // Outside of our cgroup namespace.
      ['0::/../../etc\n', undefined],
      ['0::/a/../../../etc\n', undefined],
      ['0::/a (deleted)\n', undefined],
      ['0::/a b\n', undefined],
      ['4:memory:/x\n', undefined],
    ] as const) {
      it(`is in the group of ${JSON.stringify(text)}, below the mount or nowhere`, () => {
        expect(groupPath(text, MOUNT)).to.equal(path);
      });
    }

    it('is put back by the guardian in groups only, whatever stands in its journal', async () => {
      const stateDir = mkdtempSync(join(tmpdir(), 'nemo-memory-'));
      const victim = join(stateDir, 'memory.min');
      const marker = join(stateDir, 'marker');
      try {
        writeFileSync(victim, '5');
        const lines = [
          `${stateDir} 7 5`,
          `${MOUNT}/../../..${stateDir} 7 5`,
          `${MOUNT}/./../../..${stateDir} 7 5`,
          `${MOUNT}/$(touch ${marker}) 7 5`,
          `${MOUNT}/x 7 5; touch ${marker}`,
          `${MOUNT}/* 7 5`,
        ];
        writeFileSync(join(stateDir, MEMORY_MIN), `agent ${process.pid}\n${lines.join('\n')}\n`);
        const guardian = await Guardian.watch({ journal: join(stateDir, 'none.json') });
        await guardian.close();
        expect([readFileSync(victim, 'latin1'), existsSync(marker)]).to.deep.equal(['5', false]);
        expect(existsSync(join(stateDir, MEMORY_MIN))).to.equal(false);
      } finally {
        rmSync(stateDir, { recursive: true });
      }
    });

    it('hostile messages in its journal name groups and numbers, or nothing', function () {
      this.timeout(FUZZ_TIMEOUT_MS);
      const part = fc.oneof(fc.string(), fc.constantFrom('..', '.', '/', 'a', ' ', '1', '\n', MOUNT));
      fuzz(
        fc.array(part).map((parts) => `${MOUNT}/${parts.join('')}`),
        (text) =>
          parseMemoryEntries(text).every(
            ({ group, before, now }) =>
              normalize(group).startsWith(MOUNT) && Number.isSafeInteger(before) && Number.isSafeInteger(now),
          ),
      );
    });
  });

  describe('of an NF', () => {
    const SCORE = 17;
    /** Lower than its own; the negative one of real agents needs a capability that a test machine may lack. */
    const OURS = 3;
    const score = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'latin1'));
    let stateDir: string;
    let nf: NfInstance;
    let stop: () => void;

    beforeEach(async () => {
      stateDir = mkdtempSync(join(tmpdir(), 'nemo-oom-'));
      const child = spawn('sh', ['-c', 'while read -r line; do sleep 60 & echo $!; done; kill 0'], {
        stdio: ['pipe', 'pipe', 'inherit'],
        detached: true,
      });
      await once(child, 'spawn');
      const pid = child.pid!;
      writeFileSync(`/proc/${pid}/oom_score_adj`, String(SCORE));
      nf = {
        ...{ id: `probe-${pid}`, pid, startTicks: startTicks(pid)!, uid: 0, threads: [], cores: [0] },
        profile: {
          ...{ name: 'probe', title: 'probe', match: { process: 'probe' }, mode: 'sleep', sloP99Us: 100 },
          ...{ latency: { source: 'none' }, protection: { kind: 'fifo', value: 50 }, harvest: true },
        },
      };
      fork = async () => {
        child.stdin!.write('fork\n');
        return Number(String((await once(child.stdout!, 'data'))[0]));
      };
      stop = () => child.stdin!.end();
    });
    let fork: () => Promise<number>;
    afterEach(() => {
      stop();
      rmSync(stateDir, { recursive: true });
    });

    it('is taken from nearly everybody else first while it is guarded, and its children get their score back too', async () => {
      const protection = await NfProtection.start(stateDir, {}, OURS);
      protection.protect(nf);
      expect(score(nf.pid)).to.equal(OURS);
      const child = await fork();
      expect(score(child)).to.equal(OURS);
      protection.release(nf.id);
      expect([score(nf.pid), score(child)]).to.deep.equal([SCORE, SCORE]);
      expect(existsSync(join(stateDir, OOM_SCORES))).to.equal(false);
      await protection.close();
    });

    it('is as it was after the agent was killed, without another agent', async () => {
      const { child: agent } = await startProgram('protector', [JSON.stringify(nf), stateDir, String(OURS)]);
      expect(score(nf.pid)).to.equal(OURS);
      const child = await fork();
      agent.kill('SIGKILL');
      await once(agent, 'exit');
      expect(await guardianDone(agent.pid!)).to.equal(true);
      expect([score(nf.pid), score(child)]).to.deep.equal([SCORE, SCORE]);
      expect(existsSync(join(stateDir, OOM_SCORES))).to.equal(false);
    });

    it('is as it was after the next start, when agent and guardian were killed', async () => {
      const { child: agent, first } = await startProgram('protector', [
        JSON.stringify(nf),
        stateDir,
        String(OURS),
      ]);
      const { guardianPid } = first as { guardianPid: number };
      process.kill(guardianPid, 'SIGSTOP');
      agent.kill('SIGKILL');
      process.kill(guardianPid, 'SIGKILL');
      await once(agent, 'exit');
      expect(await guardianDone(agent.pid!)).to.equal(true);
      expect(score(nf.pid)).to.equal(OURS);
      const next = await NfProtection.start(stateDir, {}, OURS);
      expect(score(nf.pid)).to.equal(SCORE);
      await next.close();
    });

    it('is left alone where it is another process now, or where its profile asks for no protection', async () => {
      writeFileSync(join(stateDir, OOM_SCORES), `agent 1\n${nf.pid} ${nf.startTicks - 1} ${SCORE} 900\n`);
      const protection = await NfProtection.start(stateDir, {}, OURS);
      expect(score(nf.pid)).to.equal(SCORE);
      protection.protect({ ...nf, profile: { ...nf.profile, protection: { kind: 'none' } } });
      expect(score(nf.pid)).to.equal(SCORE);
      await protection.close();
    });
  });
});
