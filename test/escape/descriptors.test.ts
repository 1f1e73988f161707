/**
 * Open files as a way out: what a sandbox, or a program that the agent starts, finds open when it begins. A file that the
 * agent has open for writing is a hole in every other wall, whatever the sandbox's own files are.
 */

import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { EXEC_VARIANT } from '../../src/engine/process/programs.js';
import { createTestbed } from '../../src/lab/testbed.js';
import { closeEachOnExec, closeOnExec } from '../../src/linux/close-on-exec.js';
import { execFile, execFileSync, spawn } from '../../src/linux/spawn.js';
import { Guardian } from '../../src/nf/guardian.js';
import { MicrovmBench } from '../support/microvm-bench.js';
import { OciBench } from '../support/oci-bench.js';
import { busyboxLayer, writeLayout } from '../support/oci-images.js';
import { RealAgent } from '../support/real-agent.js';
import { SandboxBench } from '../support/sandboxes.js';
import { testKernel } from '../support/test-kernel.js';
import { descendants, nameOf, openCarelessly, openFiles, sharedFiles } from './support/open-files.js';

const SOURCES = fileURLToPath(new URL('../../../src/', import.meta.url));

/** Reads and changes what it finds in every file that it did not open itself. The two words are equally long. */
const THIEF = `
  import fs from 'node:fs';
  export default (event) => {
    const { from, to } = JSON.parse(event);
    const seen = [];
    for (const fd of fs.readdirSync('/proc/self/fd').map(Number)) {
      try {
        const target = fs.readlinkSync('/proc/self/fd/' + fd);
        if (!target.startsWith('/') || target.startsWith('/dev/') || target.startsWith('/proc/')) continue;
        seen.push(target);
        const bytes = Buffer.alloc(fs.fstatSync(fd).size);
        fs.readSync(fd, bytes, 0, bytes.length, 0);
        for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1)) fs.writeSync(fd, to, at);
      } catch {}
    }
    return seen.join();
  };`;

describe('a function that looks for the open files of others', function () {
  this.timeout(60_000);
  const secrets = { from: 'the-secret-of-another-function', to: 'what-the-thief-wrote-over-that' };
  let agent: RealAgent;
  let foreign: string;

  before(async () => {
    agent = new RealAgent({ policy: 'naive' });
    foreign = join(agent.folder, 'of-who-started-it');
    writeFileSync(foreign, secrets.from);
    const fd = openSync(foreign, 'r+');
    await agent.start([fd]);
    closeSync(fd);
  });
  after(() => agent.close());

  it('finds neither the agent’s store nor a file of who started it, and changes the environment of no other', async () => {
    const env = { SECRET: secrets.from };
    const code = 'export default () => process.env.SECRET;';
    expect((await agent.deploy('victim', code, { env })).status).to.equal(201);
    await agent.deploy('thief', THIEF);
    const { body: found } = await agent.call('thief', JSON.stringify(secrets));
    await agent.end('SIGTERM');
    await agent.start();
    const { body } = await agent.call('victim');
    expect({ found, body, foreign: readFileSync(foreign, 'utf8') }).to.deep.equal({
      found: '',
      body: secrets.from,
      foreign: secrets.from,
    });
  });
});

/** What a program has open that does nothing but list it. */
const LIST = ['/bin/ls', ['-1', '/proc/self/fd']] as const;
/** stdin, stdout, stderr, and the folder that is being listed. */
const STDIO_ONLY = '0\n1\n2\n3\n';

describe('a program that this process starts while files are open that it could inherit', function () {
  this.timeout(120_000);
  const folder = mkdtempSync('/var/tmp/nemo-test-descriptors-');
  let careless: ReturnType<typeof openCarelessly>;
  beforeEach(() => {
    careless = openCarelessly(writeScratch(folder));
  });
  afterEach(() => careless.close());
  after(() => rmSync(folder, { recursive: true }));

  it('would have them all, without a mark', async () => {
    const { spawnSync } = await import('node:child_process');
    const listed = spawnSync(...LIST, { encoding: 'utf8' })
      .stdout.split('\n')
      .map(Number);
    expect(listed).to.include.members(careless.fds);
  });

  it('has those that it is given, from each way to start one', async () => {
    expect(execFileSync(...LIST, { encoding: 'utf8' })).to.equal(STDIO_ONLY);
    expect((await execFile(...LIST)).stdout).to.equal(STDIO_ONLY);
    const child = spawn(...LIST, { stdio: ['ignore', 'pipe', 'inherit', careless.fds[0]!, 'pipe'] });
    let listed = '';
    child.stdout!.on('data', (text) => {
      listed += text;
    });
    await new Promise((resolve) => child.once('close', resolve));
    expect(listed).to.equal('0\n1\n2\n3\n4\n5\n');
  });

  it('has those that it is given when a worker thread starts it', async () => {
    const module = new URL('../../src/linux/spawn.js', import.meta.url).href;
    const code = `import('${module}').then(({ execFileSync }) =>
      require('node:worker_threads').parentPort.postMessage(execFileSync(...${JSON.stringify(LIST)}, { encoding: 'utf8' })))`;
    const worker = new Worker(code, { eval: true });
    const listed = await new Promise((resolve, reject) =>
      worker.once('message', resolve).once('error', reject),
    );
    await worker.terminate();
    expect(listed).to.equal(STDIO_ONLY);
  });

  for (const mark of [closeOnExec, closeEachOnExec]) {
    it(`does not get them after ${mark.name}, from a library either`, async () => {
      const { spawnSync } = await import('node:child_process');
      mark();
      const inherited = spawnSync(...LIST, { encoding: 'utf8' })
        .stdout.split('\n')
        .map(Number);
      expect(inherited).to.not.include.members(careless.fds);
      expect(inherited).to.include.members([0, 1, 2]);
    });
  }

  it('is started by one module, which marks them', () => {
    const files = (readdirSync(SOURCES, { recursive: true }) as string[]).filter((name) =>
      /\.tsx?$/.test(name),
    );
    const starters = files.filter((name) =>
      readFileSync(join(SOURCES, name), 'utf8').includes('child_process'),
    );
    // The others run inside of a sandbox.
    expect(starters.sort()).to.deep.equal(['linux/spawn.ts', 'runner/program-io.ts', 'runner/program.ts']);
  });

  // A socket would carry open files to the agent (SCM_RIGHTS), and what it takes to close them would be the agent's time.
  /** Newer ones name their threads. */
  const NAME = /(nemo-)?node(-MainThread)?/;
  /** `node` opens files of its own kind behind what it is given. */
  const NODE =
    /^0 \/dev\/null,1 pipe,2 pipe,3 pipe,4 pipe(,\d+ (anon_inode:\[(eventpoll|eventfd|io_uring)\]|pipe|\/dev\/null))*$/;
  const THREADS = new RegExp(NODE.source.replace('|pipe|', '|pipe|socket|'));
  const OUTER = /^0 \/dev\/null,1 pipe,2 pipe,3 anon_inode:\[signalfd\],\d+ anon_inode:\[eventfd\]$/;
  const INNER = /^0 \/dev\/null,1 pipe,2 pipe,\d+ anon_inode:\[eventfd\]$/;
  const RUNNER = /^0 \/dev\/null,1 pipe,2 pipe,3 pipe,4 pipe$/;
  const RUNC =
    /^0 \/dev\/null,1 pipe,2 pipe,3 pipe,4 pipe,\d+ \S+\/runc\.log(,\d+ (anon_inode:\[eventpoll\]|pipe|\/sys\/fs\/cgroup))*$/;

  /** Its output is not a program's, which may want to open it by name. */
  const ofMachine = ({ source }: RegExp) => new RegExp(source.replace('1 pipe,2 pipe', '1 socket,2 socket'));

  /** Program of each process below this one, in order of birth -> what it has open. */
  const expectOpen = (
    expected: ReadonlyArray<readonly [name: RegExp, open: RegExp]>,
    but: number[] = [],
  ): void => {
    const pids = descendants(process.pid).filter((pid) => !but.includes(pid));
    const seen = pids.map((pid) => [nameOf(pid), openFiles(pid).join()] as const);
    expect(seen.map(([name]) => name).join()).to.match(
      new RegExp(`^${expected.map(([name]) => name.source).join()}$`),
    );
    for (const [i, [name, open]] of seen.entries())
      expect(open, `${name} has ${open}`).to.match(expected[i]![1]);
    for (const pid of pids) expect(sharedFiles(pid, process.pid), nameOf(pid)).to.deep.equal([]);
  };

  for (const [kind, open, variant] of [
    ['process', NODE, ''],
    ['process', NODE, EXEC_VARIANT],
    ['isolate', THREADS, undefined],
    ['wasm', THREADS, undefined],
  ] as const) {
    it(`has its own sockets only: a stem of ${kind} ${variant ?? ''}`, async () => {
      const bench = new SandboxBench(kind);
      try {
        await bench.engine();
        const others = descendants(process.pid);
        await bench.start({ variant: variant ?? bench.variantFor('somebody') });
        expectOpen(
          [
            [/bwrap/, OUTER],
            [/bwrap/, INNER],
            [NAME, open],
          ],
          [...others, ...esbuilds()],
        );
      } finally {
        await bench.close();
      }
    });
  }

  it('has its own sockets only: a container, and what holds it', async () => {
    const bench = new OciBench();
    try {
      expect(await bench.engine.check()).to.deep.equal({ ok: true });
      const config = { Cmd: ['httpd', '-f', '-p', '9000'], ExposedPorts: { '9000/tcp': {} } };
      writeLayout(join(bench.directory, 'image'), { layers: [busyboxLayer()], config });
      await bench.start(await bench.deploy({ image: join(bench.directory, 'image') }));
      // The shell in it speaks with the agent on 3 and 4, and puts its own stdin or stdout aside meanwhile.
      const shell = /^0 pipe,1 pipe,2 pipe,3 pipe,4 pipe(,1\d (pipe|\/dev\/null))*$/;
      expectOpen(
        [
          [/unshare/, RUNNER],
          [/runc/, RUNC],
          [/busybox/, shell],
        ],
        esbuilds(),
      );
    } finally {
      await bench.close();
    }
  });

  it('has what it was named only: a virtual machine', async function () {
    this.timeout(180_000);
    const bench = new MicrovmBench(await testKernel());
    const engine = bench.engine();
    try {
      const others = descendants(process.pid);
      await bench.start(engine);
      // Runner and sync, memory (the base snapshot's copy in memory, or its file), device state, QMP and console; then the disk, the kernel and its initial files.
      const machine =
        /^0 \/dev\/null,1 socket,2 socket,3 socket,4 socket,5 anon_inode:\[eventpoll\],6 (\/memfd:\S+ \(deleted\)|\S+\/snapshots\/\S+\/memory),8 socket,9 socket,10 \S+\/root,11 \S+\/vmlinuz\S*,12 \S+\/initrd(,\d+ (anon_inode:\[(eventpoll|eventfd|io_uring|signalfd)\]|\S+\/root|\/memfd:\S+ \(deleted\)|\S+\/snapshots\/\S+\/memory))*$/;
      expectOpen(
        [
          [/bwrap/, ofMachine(OUTER)],
          [/bwrap/, ofMachine(INNER)],
          [/qemu-system-x86/, machine],
        ],
        others,
      );
    } finally {
      await engine.close();
      await bench.close();
    }
  });

  it('has its own pipes only: the guardian, a namespace’s holder, an NF, its traffic', async () => {
    const others = descendants(process.pid);
    const guardian = await Guardian.watch({ journal: join(folder, 'journal') });
    const bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: 1, housekeepingCpu: 0 });
    try {
      const holder = [/cat/, /^0 socket,1 socket,2 socket$/] as const;
      // The packet sockets are its own.
      const own = '(,\\d+ (anon_inode:\\[(eventpoll|eventfd|io_uring)\\]|pipe|/dev/null|socket))*$';
      expectOpen(
        [
          [/sh/, /^0 socket,1 \/dev\/null,2 \/dev\/null$/],
          holder,
          holder,
          [/nemo-nf-firewal/, new RegExp(`^0 /dev/null,1 socket,2 \\S+${own}`)],
          [NAME, new RegExp(`^0 /dev/null,1 \\S+,2 \\S+,3 socket${own}`)],
        ],
        others,
      );
    } finally {
      await bed.close();
      await guardian.close();
    }
  });
});

/** The bundler's own process, which a library starts. */
function esbuilds(): number[] {
  return descendants(process.pid).filter((pid) => nameOf(pid) === 'esbuild');
}

function writeScratch(folder: string): string {
  const path = join(folder, 'open');
  writeFileSync(path, 'of this process');
  return path;
}
