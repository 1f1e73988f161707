/** The grammar of scenario names, and the named sets. */

import { expect } from 'chai';
import { parseScenario } from '../../bench/scenarios.js';
import { only, planOf, SET_NAMES } from '../../bench/sets.js';
import { NemoError } from '../../src/model/errors.js';

describe('scenarios of the bench', () => {
  for (const [name, fields] of [
    [
      'firewall/50/steady/cpu5/closed',
      { nfs: ['firewall'], mode: 'sleep', loadRatio: 0.5, packetsPerS: null },
    ],
    ['firewall:poll/50k/bursty/json/poisson', { mode: 'poll', loadRatio: null, packetsPerS: 50_000 }],
    ['testpmd/2.5k/steady/noop/none', { nfs: ['testpmd'], mode: 'poll', packetsPerS: 2_500 }],
    ['nat+dpi/90/steady/cpu5+forks/closed', { nfs: ['nat', 'dpi'], functions: ['cpu5', 'forks'] }],
    [
      'router/-/replay/trace/azure',
      { pattern: 'replay', loadRatio: null, packetsPerS: null, arrivals: 'azure' },
    ],
    ['quick', { name: 'quick', packetsPerS: 50_000, functions: ['cpu5'] }],
  ] as Array<[string, object]>) {
    it(`reads ${name}`, () => expect(parseScenario(name)).to.deep.include(fields));
  }

  for (const [name, message, hint] of [
    ['firewall/50/steady', 'has 3 parts, not 5', 'nf/load/pattern/function/arrivals'],
    ['fire/50/steady/cpu5/closed', 'the NF "fire"', 'firewall, nat'],
    ['nginx+nat/50/steady/cpu5/closed', 'the NF "nginx"', 'firewall, nat'],
    ['nat:spin/50/steady/cpu5/closed', 'the mode "spin"', ':poll'],
    ['nat/0/steady/cpu5/closed', 'the load "0"', '1 to 100'],
    ['nat/50/replay/cpu5/closed', 'the load "50"', 'keeps the pace'],
    ['nat/-/steady/cpu5/closed', 'the load "-"', 'keeps the pace'],
    ['nat/50/wavy/cpu5/closed', 'the pattern "wavy"', 'steady, bursty, replay'],
    ['nat/50/steady/cpu7/closed', 'the function "cpu7"', 'noop, cpu1'],
    ['nat/50/steady/cpu5/open', 'the arrivals "open"', 'closed, poisson'],
    ['nat/50/steady/cpu5/azure', 'the function "cpu5"', 'call the function "trace"'],
  ] as Array<[string, string, string]>) {
    it(`refuses ${name} by its part`, () => {
      expect(() => parseScenario(name))
        .to.throw(NemoError, message)
        .with.property('hint')
        .that.includes(hint);
    });
  }

  for (const set of SET_NAMES) {
    it(`the set ${set} holds each scenario once`, () => {
      const names = planOf(set).map(({ scenario }) => scenario.name);
      expect(names).to.not.be.empty;
      expect([...new Set(names)]).to.deep.equal(names);
    });
  }

  it('takes a part of a set by a pattern, and says what there is to one that fits nothing', () => {
    const names = (pattern: string) => only(planOf('full'), pattern).map(({ scenario }) => scenario.name);
    expect(names('azure')).to.deep.equal(['firewall/50/steady/trace/azure']);
    expect(names('nat*/closed')).to.deep.equal([
      'nat/50/steady/cpu5/closed',
      'nat+firewall/50/steady/cpu5/closed',
    ]);
    expect(() => only(planOf('quick'), 'x'))
      .to.throw(NemoError, 'no scenario fits')
      .with.property('hint', 'there are: quick');
  });

  it('refuses a set that there is not', () => {
    expect(() => planOf('everything'))
      .to.throw(NemoError, 'no set of scenarios')
      .with.property('hint')
      .that.includes('full');
  });
});
