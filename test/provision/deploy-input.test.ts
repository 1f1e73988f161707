import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import type { DeployInput } from '../../src/model/platform.js';
import { checkDeployInput } from '../../src/provision/deploy-input.js';

const HOST_BYTES = 4 * 2 ** 30;
const GOOD: DeployInput = { name: 'resize', code: 'export default () => 1' };

function refusal(change: object): NemoError {
  try {
    checkDeployInput({ ...GOOD, ...change }, HOST_BYTES);
  } catch (thrown) {
    expect(thrown).to.be.instanceOf(NemoError);
    expect((thrown as NemoError).code).to.equal('BAD_REQUEST');
    return thrown as NemoError;
  }
  throw new Error(`${JSON.stringify(change)} was accepted`);
}

describe('deploy input', () => {
  it('fills in the defaults', () => {
    expect(checkDeployInput(GOOD, HOST_BYTES)).to.deep.equal({
      id: { namespace: 'default', name: 'resize', key: 'resize' },
      engine: 'process',
      content: Buffer.from('export default () => 1'),
      packages: [],
      exec: undefined,
      filename: 'resize.ts',
      memoryBytes: 128 * 2 ** 20,
      timeoutMs: 30_000,
      concurrency: 1,
      env: {},
    });
  });

  it('reads what is given', () => {
    const checked = checkDeployInput(
      { ...GOOD, memory: '1Gi', timeout: '2m', concurrency: 8, env: { A: '' }, schedule: ' */5 * * * * ' },
      HOST_BYTES,
    );
    expect(checked).to.include({ memoryBytes: 2 ** 30, timeoutMs: 120_000, concurrency: 8 });
    expect(checked.schedule).to.equal('*/5 * * * *');
    expect(checked.env).to.deep.equal({ A: '' });
  });

  for (const name of ['', 'Resize', '-a', '.a', 'a/b', '../a', 'a b', 'a'.repeat(64), 'ä', 5, null]) {
    it(`refuses the name ${JSON.stringify(name)}`, () => {
      expect(refusal({ name }).hint).to.contain('a-z');
    });
  }

  for (const [change, says] of [
    [{ memmory: '1Gi' }, /memmory/],
    [{ code: '' }, /no code/],
    [{ codeBase64: 'AGFzbQ==' }, /both/],
    [{ code: undefined, codeBase64: 'not base64' }, /base64/],
    [{ engine: 5 }, /engine/],
    [{ sharingGroup: '../a' }, /sharing group/],
    [{ sharingGroup: '' }, /sharing group/],
    [{ sharingGroup: 7 }, /sharing group/],
    [{ owner: 'a' }, /'owner' is not a field/],
    [{ exec: 'always' }, /exec/],
    [{ code: 12 }, /no code/],
    [{ memory: '128' }, /128B/],
    [{ memory: '5Gi' }, /more than this box/],
    [{ timeout: '16m' }, /timeout is 16m/],
    [{ timeout: 0 }, /timeout is 0ms/],
    [{ concurrency: 0 }, /concurrency is 0/],
    [{ concurrency: 1.5 }, /concurrency is 1.5/],
    [{ concurrency: '2' }, /concurrency/],
    [{ env: ['A=1'] }, /env is not an object/],
    [{ env: { '1A': 'x' } }, /1A/],
    [{ env: { A: 1 } }, /variable A/],
    [{ env: { A: 'x'.repeat(70_000) } }, /environment takes/],
    [{ schedule: 'every day' }, /2 fields/],
    [{ schedule: '61 * * * *' }, /minute/],
    [{ schedule: 5 }, /schedule/],
    [{ filename: 'x'.repeat(300) }, /filename/],
  ] as const) {
    it(`refuses ${JSON.stringify(change).slice(0, 60)}`, () => {
      expect(refusal(change).message).to.match(says);
    });
  }

  it('never shows the value of an environment variable', () => {
    const error = refusal({ env: { TOKEN: 'secret\0' } });
    expect(JSON.stringify(error)).to.contain('TOKEN').and.not.contain('secret');
  });

  it('names the field of a cron expression that is wrong', () => {
    expect(refusal({ schedule: '* 25 * * *' }).message).to.match(/hour/i);
  });
});
