import { spawn } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../src/linux/netns.js';
import { untilGone } from '../support/waiting.js';

const OWNER = fileURLToPath(new URL('../packet/programs/own-namespaces.js', import.meta.url));

describe('network namespaces without names', () => {
  const open: Namespace[] = [];
  const create = async () => {
    const namespace = await createNamespace();
    open.push(namespace);
    return namespace;
  };
  afterEach(async () => {
    await Promise.all(open.splice(0).map((namespace) => namespace.close()));
  });

  it('links two of them by interfaces that are up, seen only inside', async () => {
    const [a, b] = await Promise.all([create(), create()]);
    await connect(a, 'left0', b, 'right0', { mtu: 1600 });
    const inside = JSON.parse(await a.run('ip', ['-j', 'link', 'show', 'left0']));
    expect(inside[0]).to.include({ operstate: 'UP', mtu: 1600 });
    expect(await b.run('ip', ['-j', 'link', 'show', 'right0'])).to.contain('"UP"');
    expect(networkInterfaces()).to.not.have.any.keys('left0', 'right0');
    expect(await a.run('ip', ['-6', 'addr', 'show', 'left0'])).to.equal('');
  });

  it('runs a command inside and tells why one failed', async () => {
    const namespace = await create();
    expect(await namespace.run('readlink', ['/proc/self/ns/net'])).to.equal(
      `${readlinkSync(namespace.path)}\n`,
    );
    const failure = await namespace.run('ip', ['link', 'show', 'absent0']).catch((thrown) => thrown);
    expect(failure).to.include({ code: 'SYSCALL' });
    expect(failure.message).to.contain('absent0');
  });

  it('moves the calling thread in and back out, also when the action throws', async () => {
    const namespace = await create();
    const home = readlinkSync('/proc/thread-self/ns/net');
    const seen = insideNamespace(namespace.path, () => readlinkSync('/proc/thread-self/ns/net'));
    expect(seen).to.equal(readlinkSync(namespace.path));
    expect(() =>
      insideNamespace(namespace.path, () => {
        throw new Error('inside');
      }),
    ).to.throw('inside');
    expect(readlinkSync('/proc/thread-self/ns/net')).to.equal(home);
  });

  it('leaves no process behind when its owner is killed', async () => {
    const owner = spawn(process.execPath, [OWNER], { stdio: ['ignore', 'pipe', 'inherit'] });
    const line = await new Promise<string>((resolve) =>
      owner.stdout.once('data', (text) => resolve(String(text))),
    );
    const { pids } = JSON.parse(line) as { pids: number[] };
    expect(pids.every((pid) => existsSync(`/proc/${pid}`))).to.equal(true);
    owner.kill('SIGKILL');
    await Promise.all(pids.map(untilGone));
  });
});
