import { expect } from 'chai';
import fc from 'fast-check';
import { NemoError } from '../../src/model/errors.js';
import { blockReason } from '../../src/network/blocked-addresses.js';
import { EgressRules, parseEgressRule } from '../../src/network/egress-rules.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';

const NONE = () => false;

describe('where no function may connect', () => {
  for (const address of [
    '0.0.0.0',
    '0.1.2.3',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '169.254.0.1',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '224.0.0.1',
    '239.255.255.250',
    '240.0.0.1',
    '255.255.255.255',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    'fd00:ec2::254',
    'fe80::1',
    '127.1',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '2130706433',
    '10.0.0.1 ',
    '',
  ]) {
    it(`is ${JSON.stringify(address)}`, () => expect(blockReason(address, NONE)).to.be.a('string'));
  }

  it('is an address of this box', () => {
    expect(blockReason('192.0.2.7', (one) => one === '192.0.2.7')).to.contain('this box');
    expect(blockReason('192.0.2.7', NONE)).to.equal(undefined);
  });

  for (const address of ['10.0.0.1', '8.8.8.8', '100.100.100.201', '168.63.129.17', '223.255.255.255']) {
    it(`is not ${address}`, () => expect(blockReason(address, NONE)).to.equal(undefined));
  }

  it('is the same for every way to write an address: hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const octet = fc.nat(255);
    const prefix = fc.constantFrom('', '::ffff:', '0', '0x', ' ');
    fuzz(fc.tuple(prefix, fc.tuple(octet, octet, octet, octet)), ([before, octets]) => {
      const why = blockReason(before + octets.join('.'), NONE);
      const [a, b] = octets as [number, number, number, number];
      const barred = a === 0 || a === 127 || a >= 224 || (a === 169 && b === 254);
      // A leading 0 is part of the first number then, which only 0 itself may have.
      return before === '' ? !barred || why !== undefined : why !== undefined;
    });
  });
});

describe('rules of what a function may reach', () => {
  it('are parsed or refused, and lead where they say and nowhere else: hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const part = fc.oneof(
      fc.constantFrom('127.0.0.1', '10.0.0.0', 'a.test', '127.77.0.1', '::1', 'xn--a', '0', '1.2.3', 'a\nb'),
      fc.string({ maxLength: 12 }),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    const text = fc.tuple(
      part,
      fc.constantFrom('', '/8', '/33', '/0'),
      fc.constantFrom(':443', ':0', '', ':a'),
    );
    fuzz(text, ([host, bits, port]) => {
      const rule = host + bits + port;
      try {
        parseEgressRule(rule);
      } catch (thrown) {
        return thrown instanceof NemoError && thrown.code === 'BAD_REQUEST';
      }
      const rules = new EgressRules([rule]);
      const lines = rules.hosts().trimEnd().split('\n');
      return rules.target('192.0.2.1', 443) === undefined && lines.length <= 2 && rules.ports.length === 1;
    });
  });
});
