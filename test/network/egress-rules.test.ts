import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import { checkEgress, EgressRules, parseEgressRule } from '../../src/network/egress-rules.js';

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
    expect(rules.networks).to.deep.equal([{ address: '10.1.0.0', bits: 16 }]);
    expect(rules.target('127.77.0.1', 80)).to.deep.equal({ host: 'a.test', isName: true });
    expect(rules.target('127.77.0.2', 443)).to.deep.equal({ host: 'b.test', isName: true });
    expect(rules.target('127.77.0.2', 80)).to.equal(undefined);
    expect(rules.target('10.1.2.3', 443)).to.deep.equal({ host: '10.1.2.3', isName: false });
    expect(rules.target('10.1.2.3', 80)).to.equal(undefined);
    expect(rules.target('10.2.0.1', 443)).to.equal(undefined);
    expect(rules.target('127.0.0.1', 6379)).to.deep.equal({ host: '127.0.0.1', isName: false });
    expect(rules.target('127.0.0.1', 443)).to.equal(undefined);
  });

  it('open a barred address only where the operator says so, for that port', () => {
    const rules = new EgressRules(['127.0.0.1:6379', '127.0.0.1:22'], ['127.0.0.1:6379']);
    expect(rules.opened('127.0.0.1', 6379)).to.equal(true);
    expect(rules.opened('127.0.0.1', 22)).to.equal(false);
    expect(rules.opened('127.0.0.2', 6379)).to.equal(false);
  });
});
