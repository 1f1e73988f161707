/** Addresses as text. */

import { expect } from 'chai';
import { addressWords, macBytes, maskWord, parsePrefix } from '../../src/packet/address.js';

const hex = (words: Int32Array | undefined) => words && Buffer.from(words.buffer).swap32().toString('hex');

describe('addresses', () => {
  it('are read in every customary form', () => {
    expect(hex(addressWords('192.0.2.255')?.words)?.slice(0, 8)).to.equal('c00002ff');
    const forms: Array<[string, string]> = [
      ['::', '00000000000000000000000000000000'],
      ['::1', '00000000000000000000000000000001'],
      ['fe80::', 'fe800000000000000000000000000000'],
      ['2001:DB8:1:2:3:4:5:6', '20010db8000100020003000400050006'],
      ['1::8', '00010000000000000000000000000008'],
      ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
      ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
      ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
    ];
    for (const [text, words] of forms) expect(hex(addressWords(text)?.words), text).to.equal(words);
    for (const bad of ['', '1.2.3', '1.2.3.4.5', ':::', 'fe80::1%eth0', '1:2:3', 'host']) {
      expect(addressWords(bad), bad).to.equal(undefined);
    }
  });

  it('as prefixes lose their host bits', () => {
    expect(hex(parsePrefix('10.1.2.3/9')?.words)?.slice(0, 8)).to.equal('0a000000');
    expect(hex(parsePrefix('ffff:ffff:ffff:ffff:ffff::/67')?.words)).to.equal(
      'ffffffffffffffffe000000000000000',
    );
    expect([parsePrefix('10.0.0.1')?.bits, parsePrefix('::1')?.bits]).to.deep.equal([32, 128]);
    for (const bad of [
      '10.0.0.0/33',
      '::/129',
      '10.0.0.0/',
      '10.0.0.0/-1',
      '10.0.0.0/8/8',
      '/8',
      '10.0.0.0/ 8',
    ]) {
      expect(parsePrefix(bad), bad).to.equal(undefined);
    }
    expect([maskWord(0, 0), maskWord(1, 0), maskWord(32, 0), maskWord(33, 1)]).to.deep.equal([
      0,
      -(2 ** 31),
      -1,
      -(2 ** 31),
    ]);
  });

  it('of Ethernet are six pairs of digits', () => {
    expect([...macBytes('02:0a:FF:00:00:01')!]).to.deep.equal([2, 10, 255, 0, 0, 1]);
    for (const bad of ['02:00:00:00:00', '02-00-00-00-00-01', '2:0:0:0:0:1'])
      expect(macBytes(bad)).to.equal(undefined);
  });
});
