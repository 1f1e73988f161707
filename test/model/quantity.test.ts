import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from '../../src/model/quantity.js';

function refused(work: () => unknown): NemoError {
  try {
    work();
  } catch (thrown) {
    expect(thrown).to.be.instanceOf(NemoError);
    return thrown as NemoError;
  }
  throw new Error('expected a refusal');
}

describe('quantities', () => {
  for (const [text, bytes] of [
    ['128Mi', 134_217_728],
    ['1Gi', 1_073_741_824],
    ['1.5Gi', 1_610_612_736],
    ['64Ki', 65_536],
    ['2M', 2_000_000],
    ['1k', 1_000],
    [' 42 ', 42],
    [1_000, 1_000],
  ] as const) {
    it(`reads ${JSON.stringify(text)} as ${bytes} bytes`, () => {
      expect(parseBytes(text, 'memory')).to.equal(bytes);
    });
  }

  for (const [text, ms] of [
    ['30s', 30_000],
    ['500ms', 500],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['0.5s', 500],
    [250, 250],
  ] as const) {
    it(`reads ${JSON.stringify(text)} as ${ms} ms`, () => {
      expect(parseDurationMs(text, 'timeout')).to.equal(ms);
    });
  }

  for (const wrong of [
    '',
    'Mi',
    '-1Mi',
    '12Q',
    '1 2',
    'constructor',
    '1e3',
    '0x10',
    '128mi',
    Number.NaN,
    -1,
  ]) {
    it(`refuses ${JSON.stringify(wrong)} as memory and says what is right`, () => {
      const error = refused(() => parseBytes(wrong, 'memory'));
      expect(error.code).to.equal('BAD_REQUEST');
      expect(error.message).to.match(/^memory is/);
      expect(error.hint).to.contain('128Mi');
    });
  }

  it('refuses a time without a unit, which could be anything', () => {
    expect(refused(() => parseDurationMs('30', 'timeout')).hint).to.contain('30s');
  });

  it('refuses what is no string and no number', () => {
    for (const wrong of [null, {}, [], true]) {
      expect(refused(() => parseBytes(wrong as unknown as string, 'memory')).code).to.equal('BAD_REQUEST');
    }
  });

  it('writes what it reads', () => {
    expect(formatBytes(134_217_728)).to.equal('128Mi');
    expect(formatBytes(1_610_612_736)).to.equal('1.5Gi');
    expect(formatBytes(12)).to.equal('12B');
    expect(formatDurationMs(30_000)).to.equal('30s');
    expect(formatDurationMs(90_000)).to.equal('1.5m');
    expect(formatDurationMs(5)).to.equal('5ms');
  });
});
