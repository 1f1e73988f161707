import { execFile } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { listenTcp } from '../../src/linux/blocking-socket.js';
import { createNamespace, insideNamespace } from '../../src/linux/netns.js';
import { Egress } from '../../src/network/egress.js';
import { EGRESS } from '../../src/tunables/index.js';
import { BOX, inTheBox, METADATA, WORLD } from '../support/egress-world.js';
import { errorOf } from '../support/sandboxes.js';

const CHILD = fileURLToPath(new URL('./support/egress-child.js', import.meta.url));
const REUSED_PID = fileURLToPath(new URL('./support/reused-pid-child.js', import.meta.url));
const REACHED = 'you said hello';

describe('escape by egress', function () {
  this.timeout(90_000);
  let seen: Record<string, unknown>;

  before(async () => {
    const names = [
      ...[
        `127.0.0.1 localhost loopback.test`,
        `${BOX} box.test`,
        '10.253.0.2 nf.test',
        `${WORLD} world.test`,
      ],
      ...METADATA.map((address, i) => `${address} metadata${i}.test`),
    ];
    seen = await inTheBox(CHILD, `${names.join('\n')}\n`);
  });

  it('reaches the world outside, so that what follows means something', () => {
    expect(seen['world.test']).to.equal(REACHED);
  });

  for (const name of [
    'loopback.test',
    'box.test',
    'nf.test',
    ...METADATA.map((_, i) => `metadata${i}.test`),
  ]) {
    it(`does not reach the box or a metadata service by the name ${name}`, () => {
      expect(seen[name]).to.equal('ECONNRESET');
    });
  }

  for (const address of ['127.0.0.1', '10.253.0.2', ...METADATA]) {
    it(`does not reach ${address}, though the function's own list has it`, () => {
      expect(seen[address]).to.equal('ECONNRESET');
    });
  }

  it('tells the owner why, once', () => {
    expect(seen.told).to.equal(1);
  });

  it('reaches an address of the box only where the operator opened it', () => {
    expect(seen.openedByOperator).to.equal(REACHED);
  });

  it('holds no more connections than a function may have, and others go on', () => {
    expect(seen.storm).to.be.at.most(EGRESS.connectionsPerFunction);
    expect(seen.storm).to.be.greaterThan(0);
    expect(seen.besideStorm).to.equal(REACHED);
  });

  it('costs the agent little by connecting in a loop to what is refused', () => {
    const [count, ms] = seen.refusals as [number, number];
    const { connectionsPerSecond, refusedWeight } = EGRESS;
    expect(count).to.be.greaterThan(0);
    // One for each that was allowed at once, and those of the time since.
    expect(count).to.be.at.most((connectionsPerSecond / refusedWeight) * (2 + ms / 1_000));
  });

  it('reaches what a user of the box has given himself as an address', () => {
    expect(seen.besideSquatter).to.equal(REACHED);
  });

  it('leaves no descriptor behind when a function sends much, reads nothing, and leaves', () => {
    expect(seen.left).to.be.at.most(0);
  });

  it('has the kernel hold little for a connection, whoever does not read', () => {
    expect(seen.held).to.be.greaterThan(0);
    expect(seen.held).to.be.at.most(4 * EGRESS.socketBytes);
  });

  it('has the kernel hold nothing for a function that is gone, whoever does not read', () => {
    expect(seen.untakenBefore).to.be.greaterThan(0);
    expect(seen.untaken).to.equal(0);
  });

  it('goes on for all after there was no descriptor for one', () => {
    expect(seen.afterwards).to.equal(REACHED);
  });

  it('leaves no descriptor open where one of its ports is taken', async () => {
    const namespace = await createNamespace();
    const egress = new Egress();
    const attach = (id: string, rules: string[]) =>
      egress.attach({ id, functionKey: 'f', namespace: openSync(namespace.path, 'r'), rules });
    const held = () => readdirSync('/proc/self/fd').length;
    try {
      const taken = insideNamespace(namespace.path, () => listenTcp('0.0.0.0', 7003));
      await attach('first', ['198.51.100.1:7009']);
      const before = held();
      for (let i = 0; i < 5; i++) {
        const { code } = await errorOf(
          attach(
            `${i}`,
            [1, 2, 3].map((port) => `198.51.100.1:700${port}`),
          ),
        );
        expect(code).to.equal('SANDBOX_START');
      }
      expect(held()).to.equal(before);
      closeSync(taken);
    } finally {
      await egress.close();
      await namespace.close();
    }
  });

  it("opens nothing in an NF's network when the NF gets the pid of a sandbox that has just ended", async () => {
    const { stdout } = await promisify(execFile)(
      'unshare',
      [
        ...['--pid', '--fork', '--mount-proc', '--kill-child'],
        ...[process.execPath, REUSED_PID, String(process.pid)],
      ],
      { timeout: 50_000 },
    );
    expect(JSON.parse(stdout)).to.deep.equal({ reused: true, touched: false });
  });
});
