/** Aho-Corasick against a naive search; the inspector's actions, counters and scope. */

import { expect } from 'chai';
import { buildFrame } from '../../../src/packet/build.js';
import { AhoCorasick } from '../../../src/packet/functions/aho-corasick.js';
import { Dpi } from '../../../src/packet/functions/dpi.js';
import { DROP } from '../../../src/packet/functions/function.js';
import { Random } from '../../../src/packet/random.js';

describe('aho-corasick', () => {
  it('finds each occurrence of each pattern that a naive search finds', () => {
    const random = new Random(61);
    for (let round = 0; round < 300; round++) {
      const letters = 1 + random.below(3);
      const text = (length: number) => Uint8Array.from({ length }, () => 97 + random.below(letters));
      const unique = new Map<string, Uint8Array>();
      for (let i = 0; i < 1 + random.below(12); i++) {
        const pattern = text(1 + random.below(6));
        unique.set(pattern.join(), pattern);
      }
      const patterns = [...unique.values()];
      const body = text(60);
      const naive = new Array<number>(patterns.length).fill(0);
      patterns.forEach((pattern, number) => {
        for (let at = 5; at + pattern.length <= 55; at++) {
          if (pattern.every((byte, i) => body[at + i] === byte)) naive[number]!++;
        }
      });
      const found = new Array<number>(patterns.length).fill(0);
      const automaton = new AhoCorasick(patterns);
      const stopped = automaton.scan(body, 5, 55, (state) => {
        for (let hit = automaton.firstHit(state); hit !== 0; hit = automaton.nextHit(hit))
          found[automaton.patternAt(hit)]!++;
        return true;
      });
      expect(stopped).to.equal(false);
      expect(found).to.deep.equal(naive);
    }
  });

  it('stops when told to', () => {
    const automaton = new AhoCorasick([Uint8Array.of(1)]);
    let calls = 0;
    const stopped = automaton.scan(Uint8Array.of(1, 1, 1), 0, 3, () => ++calls < 2);
    expect([stopped, calls]).to.deep.equal([true, 2]);
  });
});

function inspect(
  dpi: Dpi,
  payload: string | Buffer,
  protocol: 'udp' | 'tcp' = 'udp',
  source = '10.0.0.1',
  destination = '10.0.0.2',
) {
  const frame = buildFrame({
    protocol,
    source,
    destination,
    payload: Buffer.from(payload as string, 'latin1'),
  });
  return dpi.process(frame, frame.length, 0, 0) !== DROP;
}

describe('dpi', () => {
  const patterns = [
    { name: 'evil', text: 'EvilBytes', action: 'drop' },
    { name: 'odd', hex: '00ff80' },
  ];

  it('drops or counts as each pattern says, in every protocol and version', () => {
    const dpi = new Dpi({ patterns });
    expect(inspect(dpi, 'xx EvilBytes xx')).to.equal(false);
    expect(inspect(dpi, 'EvilBytes', 'tcp', 'fd00::1', 'fd00::2')).to.equal(false);
    expect(inspect(dpi, 'EvilByte')).to.equal(true);
    expect(inspect(dpi, 'evilbytes')).to.equal(true);
    expect(inspect(dpi, '\x00\xff\x80\x00\xff\x80')).to.equal(true);
    expect(inspect(dpi, '')).to.equal(true);
    expect(dpi.counters).to.deep.include({
      forwarded: 4,
      dropped: 2,
      matched: 3,
      'match:evil': 2,
      'match:odd': 1,
    });
  });

  it('folds case if told to, and only of letters', () => {
    const dpi = new Dpi({ patterns: [{ text: 'Get /@[', action: 'drop' }], ignoreCase: true });
    expect(inspect(dpi, 'gET /@[')).to.equal(false);
    expect(inspect(dpi, 'GET /`{')).to.equal(true);
  });

  it('looks at the payload only: not at headers, not at Ethernet padding', () => {
    const dpi = new Dpi({ patterns: [{ hex: '0a000001', action: 'drop' }] });
    expect(inspect(dpi, 'clean')).to.equal(true);
    const frame = new Uint8Array(60);
    frame.set(buildFrame({ protocol: 'udp', source: '10.0.0.1', destination: '10.0.0.2' }));
    frame.set([10, 0, 0, 1], 50);
    expect(dpi.process(frame, 60, 0, 0)).to.equal(60);
  });

  it('refuses patterns that say nothing, twice the same, or are no hex', () => {
    for (const bad of [
      [{ name: 'x' }],
      [{ text: 'a', hex: '61' }],
      [{ hex: '6' }],
      [{ hex: 'zz' }],
      [{ text: '' }],
      [{ text: 'a' }, { hex: '61' }],
      [{ text: 'a', action: 'explode' }],
    ]) {
      expect(() => new Dpi({ patterns: bad }), JSON.stringify(bad))
        .to.throw(/dpi\.patterns\[\d\]\./)
        .with.property('code', 'BAD_CONFIG');
    }
    expect(() => new Dpi({ patterns: [] })).to.not.throw();
  });
});
