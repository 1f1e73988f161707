import { expect } from 'chai';
import { NemoError } from '../../src/errors.js';
import { checkEgress, EgressRules, mayStandFor, parseEgressRule } from '../../src/network/egress-rules.js';

describe('egress rules', () => {
  for (const rule of [
    'api.example.com',
    'api.example.com:0',
    'api.example.com:65536',
    'http://api.example.com:80',
    'api.example.com/24:80',
    '10.0.0.0/7:80',
    '10.0.0.0/33:80',
    '10.0.0.256:80',
    '127.77.0.1:80',
    '::1:80',
    '-x.com:80',
    'a b:80',
    '*:80',
    '',
    7,
    null,
  ]) {
    it(`refuse ${JSON.stringify(rule)} by name`, () => {
      expect(() => parseEgressRule(rule))
        .to.throw(NemoError)
        .with.property('code', 'BAD_REQUEST');
    });
  }

  it('are a list without doubles, and not an endless one', () => {
    expect(checkEgress(['API.example.com:443', 'api.example.com:443'])).to.deep.equal([
      'api.example.com:443',
    ]);
    expect(() => checkEgress('api.example.com:443')).to.throw(NemoError);
    expect(() => checkEgress(Array.from({ length: 65 }, (_, i) => `h${i}:80`))).to.throw(NemoError);
  });

  it('give each name an address inside, and lead from there only to that name and port', () => {
    const rules = new EgressRules([
      'a.test:443',
      'b.test:443',
      'a.test:80',
      '10.1.0.0/16:443',
      '127.0.0.1:6379',
    ]);
    expect(rules.hosts()).to.equal('127.0.0.1 localhost\n127.77.0.1 a.test\n127.77.0.2 b.test\n');
    expect(rules.ports).to.have.members([443, 80, 6379]);
    expect(rules.networks).to.deep.equal(['10.1.0.0/16']);
    expect(rules.target('127.77.0.1', 80)).to.deep.equal({ host: 'a.test', isName: true });
    expect(rules.target('127.77.0.2', 443)).to.deep.equal({ host: 'b.test', isName: true });
    expect(rules.target('127.77.0.2', 80)).to.equal(undefined);
    expect(rules.target('10.1.2.3', 443)).to.deep.equal({ host: '10.1.2.3', isName: false });
    expect(rules.target('10.1.2.3', 80)).to.equal(undefined);
    expect(rules.target('10.2.0.1', 443)).to.equal(undefined);
    expect(rules.target('127.0.0.1', 6379)).to.deep.equal({ host: '127.0.0.1', isName: false });
    expect(rules.target('127.0.0.1', 443)).to.equal(undefined);
  });

  it('let no name stand for this machine, its metadata service or a group', () => {
    for (const own of [
      '127.0.0.1',
      '127.5.5.5',
      '0.0.0.0',
      '169.254.169.254',
      '224.0.0.1',
      '255.255.255.255',
      '::1',
    ]) {
      expect(mayStandFor(own), own).to.equal(false);
    }
    for (const other of ['10.0.0.1', '192.0.2.2', '8.8.8.8'])
      expect(mayStandFor(other), other).to.equal(true);
  });
});
