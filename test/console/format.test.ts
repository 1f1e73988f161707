import { expect } from 'chai';
import {
  bytes,
  count,
  duration,
  micros,
  millis,
  percent,
  perSecond,
  plural,
  share,
} from '../../src/console/web/format.js';

/** Spaces before units do not break. */
const plain = (text: string) => text.replaceAll('\u00a0', ' ');

describe('console numbers', () => {
  it('show times in the unit that reads best', () => {
    const cases: Array<[number, string]> = [
      [0, '0.00 µs'],
      [2.7, '2.70 µs'],
      [17.64, '17.6 µs'],
      [260.4, '260 µs'],
      [999.4, '999 µs'],
      [999.6, '1.00 ms'],
      [4_018, '4.02 ms'],
      [999_600, '1.00 s'],
      [12_500_000, '12.5 s'],
    ];
    for (const [us, text] of cases) expect(plain(micros(us))).to.equal(text);
    expect(plain(millis(0.31))).to.equal('310 µs');
  });

  it('show a dash for what is not known, never 0', () => {
    for (const show of [percent, micros, millis, bytes, count, perSecond, duration]) {
      expect(show(null)).to.equal('–');
      expect(show(Number.NaN)).to.equal('–');
    }
    expect(share(1, 0)).to.equal(null);
  });

  it('show shares, sizes, numbers and durations with their units', () => {
    expect(plain(percent(0.4823))).to.equal('48.2 %');
    expect(plain(bytes(512))).to.equal('512 B');
    expect(plain(bytes(64 * 1024 * 1024))).to.equal('64.0 MiB');
    expect(plain(bytes(1000 * 1024))).to.equal('0.98 MiB');
    expect(count(12_345)).to.equal('12,345');
    expect(plain(count(1_234_567))).to.equal('1.23 M');
    expect(plain(perSecond(1240))).to.equal('1,240 /s');
    expect(plain(perSecond(0))).to.equal('0 /s');
    expect(plain(duration(0.4))).to.equal('0 s');
    expect(plain(duration(192))).to.equal('3 min 12 s');
    expect(plain(duration(3_600))).to.equal('1 h');
    expect(plain(duration(273_600))).to.equal('3 d 4 h');
    expect(plural(1, 'sandbox', 'sandboxes')).to.equal('1 sandbox');
    expect(plural(2_000, 'sandbox', 'sandboxes')).to.equal('2,000 sandboxes');
  });
});
