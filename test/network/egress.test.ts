import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

const CHILD = fileURLToPath(new URL('./egress-child.js', import.meta.url));

describe('the network of a function', function () {
  this.timeout(60_000);

  it('reaches what its allow-list names, and nothing else', async () => {
    const { stdout } = await promisify(execFile)(
      'unshare',
      ['--net', '--mount', '--kill-child', '--fork', process.execPath, CHILD],
      { timeout: 50_000 },
    );
    expect(JSON.parse(stdout)).to.deep.equal({
      byName: 'you said hello',
      byNetwork: 'you said hello',
      manyBytes: 1_000_009,
      nameOfThisMachine: 'ECONNRESET',
      unknownName: 'ECONNRESET',
      otherPort: 'ECONNREFUSED',
      ownLoopback: 'ECONNRESET',
      otherAddress: 'ENETUNREACH',
      notListedName: 'EAI_AGAIN',
      writtenLoopback: 'you said hello',
      withoutList: 'ENETUNREACH',
      withoutListLocal: 'ECONNREFUSED',
      waiting: 'connected',
      left: 0,
    });
  });
});
