import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { prepareRuntime } from '../../src/confinement/runtime.js';
import { IsolateHost } from '../../src/engine/isolate/host.js';
import { NOBODY } from '../../src/engine/isolate/thread-owner.js';
import { makeSnapshot } from '../../src/engine/microvm/make-snapshot.js';
import { run } from '../../src/host/packages.js';
import { onlineCores } from '../../src/linux/online-cores.js';
import { NemoError } from '../../src/model/errors.js';
import { listenForUser } from '../../src/sandbox/agent-socket.js';
import { errorOf, SandboxBench } from '../support/sandboxes.js';

const UID = 63_897;

describe('a socket of the agent for one sandbox', () => {
  let directory: string;
  let server: Server | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nemo-test-socket-'));
  });
  afterEach(() => {
    server?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('belongs to its user alone, and takes connections at once', async () => {
    const path = join(directory, 'agent.sock');
    const accepted = new Promise<Socket>((resolve, reject) => {
      server = listenForUser(path, UID, resolve, reject);
    });
    const { uid, gid, mode } = statSync(path);
    expect([uid, gid, mode & 0o777]).to.deep.equal([UID, UID, 0o600]);
    const client = connect(path);
    await once(client, 'connect');
    (await accepted).destroy();
    client.destroy();
  });

  it('that cannot be made is an error for its owner', async () => {
    const path = join(directory, 'agent.sock');
    writeFileSync(path, 'another file');
    const error = await new Promise<NemoError>((resolve) => {
      server = listenForUser(path, UID, () => {}, resolve);
    });
    expect(server?.listening).to.equal(false);
    expectSocketError(error);
  });
});

/** A directory on a disk with room for one more directory, and for nothing in it. */
async function fullDisk(parent: string): Promise<string> {
  const path = join(parent, 'full');
  mkdirSync(path);
  const mount = ['-t', 'tmpfs', '-o', 'nr_inodes=2,mode=755', 'nemo-full', path];
  expect((await run('mount', mount)).exitCode).to.equal(0);
  return path;
}

describe('on a disk that is full', () => {
  const bench = new SandboxBench('isolate');
  let disk: string;
  before(async () => {
    disk = await fullDisk(bench.directory);
  });
  after(async () => {
    await run('umount', ['-l', disk]);
    await bench.close();
  });

  it('a process of isolates ends, and the sandbox that was to start in it says why', async () => {
    const cores = onlineCores();
    const host = new IsolateHost({
      ...{ name: 'socketless', driver: bench.driver, cores, housekeepingCores: [cores[0]!] },
      ...{ directory: join(disk, 'host'), uid: UID, program: '/runner/main.js' },
      ...{
        runtime: prepareRuntime(join(bench.directory, 'runtime')),
        scheduling: 'default',
        sharesModules: false,
      },
    });
    expectSocketError(await errorOf(host.spawn(NOBODY)));
    await host.exited;
    expect(host.threadCount).to.equal(0);
    await host.close();
    expect(bench.driver.list()).to.not.include('socketless');
  });

  it('a snapshot of a machine is not made, and says why', async () => {
    const file = join(bench.directory, 'file');
    writeFileSync(file, 'x');
    const directory = join(bench.directory, 'made');
    mkdirSync(directory);
    const making = makeSnapshot(
      {
        spec: { accelerator: 'tcg', memoryMb: 64, heapMb: 32 },
        files: { kernel: file, initrd: file, root: file },
        ...{ directory, runDirectory: join(disk, 'run'), scheduling: 'default', uid: UID },
        runtime: { seccompPath: file, libraryPath: file },
        cgroup: bench.driver.create('making', { memoryMaxBytes: 128 * 2 ** 20, pidsMax: 16 }),
      },
      async () => {},
    );
    expectSocketError(await errorOf(making));
    expect(bench.driver.list()).to.not.include('making');
  });
});

function expectSocketError(error: NemoError): void {
  expect(error).to.be.instanceOf(NemoError);
  expect(error.code).to.equal('SANDBOX_START');
  expect(error.message).to.match(/^the socket of a sandbox failed: /);
}
