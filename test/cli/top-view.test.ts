import { expect } from 'chai';
import { renderLine, shareCells, sparkline } from '../../src/cli/terminal.js';
import { renderTop, TopHistory } from '../../src/cli/top-view.js';
import { sampleFrame } from '../telemetry/sample-frame.js';

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what is looked for
const COLOUR = /\x1b\[\d+m/g;

describe('top view', () => {
  it('shows what a person wants to know', () => {
    const text = renderTop(sampleFrame(1), 130);
    for (const part of [
      'edge-1  policy nemo  up 1:02:05',
      'p99 177 us of 300 us',
      'NF  42%  fn  50%',
      'throttle 2 quota',
      'harvested 50.0 of 58.0 s spare (86%)',
      'running resize',
      'firewall-812',
      'held',
      '171.4',
      '1/4/12342',
      '1 busy 1 warm',
      '! no cgroup v2',
      'nothing has happened yet',
    ]) {
      expect(text).to.contain(part);
    }
  });

  for (const columns of [40, 61, 80, 120, 250]) {
    it(`is never wider than ${columns} columns, and the same with colour`, () => {
      const frame = sampleFrame(1);
      frame.events = [
        { seq: 1, timeMs: 0, kind: 'conflict', severity: 'error', message: `long ${'word '.repeat(60)}` },
      ];
      const history = new TopHistory();
      for (let i = 0; i < 300; i++) history.add(frame);
      const plain = renderTop(frame, columns, history);
      const coloured = renderTop(frame, columns, history, true);
      for (const line of plain.split('\n')) expect(line.length).to.be.at.most(columns);
      expect(plain).to.not.match(COLOUR);
      const stripped = coloured
        .replace(COLOUR, '')
        .split('\n')
        .map((line) => line.trimEnd());
      expect(stripped).to.deep.equal(plain.split('\n').map((line) => line.trimEnd()));
      expect(coloured).to.match(COLOUR);
    });
  }

  it('is pure', () => {
    const frame = sampleFrame(1);
    const before = JSON.stringify(frame);
    expect(renderTop(frame, 100)).to.equal(renderTop(frame, 100));
    expect(JSON.stringify(frame)).to.equal(before);
  });

  it('marks a broken SLO in red', () => {
    const frame = sampleFrame(1);
    frame.cores[1]!.p99Us = 4_018;
    frame.nfs[0]!.sloHeld = false;
    const text = renderTop(frame, 120, undefined, true);
    expect(text).to.contain('\x1b[31m4.02 ms\x1b[0m');
    expect(text).to.contain('\x1b[31mfirewall-812').and.contain('broken');
  });

  it('shows an empty box, and one without packets', () => {
    const frame = sampleFrame(1);
    frame.cores[1]!.p99Us = null;
    expect(renderTop(frame, 100)).to.contain('no packets');
    const empty = { ...frame, cores: [], nfs: [], functions: [], events: [] };
    expect(renderTop(empty, 100)).to.contain('no network function found').and.contain('nemo deploy');
  });

  it('lets no text from a function steer the terminal', () => {
    const frame = sampleFrame(1);
    frame.events = [
      { seq: 1, timeMs: 0, kind: 'function-failed', severity: 'error', message: '\x1b[2J\x07\r\nboo\x9b31m' },
    ];
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the question
    expect(renderTop(frame, 100)).to.not.match(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  });

  it('keeps the last events, each once', () => {
    const history = new TopHistory();
    for (let seq = 1; seq <= 20; seq++) {
      const event = {
        seq,
        timeMs: 0,
        kind: 'throttle',
        severity: 'info',
        message: `number-${seq}.`,
      } as const;
      history.add({ ...sampleFrame(seq), events: [event] });
    }
    const text = renderTop(sampleFrame(21), 100, history);
    expect(text.match(/number-\d+/g)).to.deep.equal(Array.from({ length: 8 }, (_, i) => `number-${13 + i}`));
  });
});

describe('terminal lines', () => {
  for (const [ratios, width, cells] of [
    [[0.42, 0.5, 0.03], 60, [25, 30, 2]],
    [[1, 0, 0], 10, [10, 0, 0]],
    [[0, 0, 0], 10, [0, 0, 0]],
    [[1 / 3, 1 / 3, 1 / 3], 10, [4, 3, 3]],
    [[0.8, 0.8], 10, [5, 5]],
    [[Number.NaN, 0.5], 10, [0, 5]],
    [[-1, 2], 10, [0, 10]],
  ] as const) {
    it(`shares ${width} cells by ${ratios.map((r) => r.toFixed(2)).join(' ')}`, () => {
      expect(shareCells(ratios, width)).to.deep.equal(cells);
    });
  }

  it('cuts with an ellipsis', () => {
    expect(renderLine([['abc'], ['def', 'red']], 6, false)).to.equal('abcdef');
    expect(renderLine([['abc'], ['def', 'red']], 5, false)).to.equal('abcd…');
    expect(renderLine([['abc'], ['def', 'red']], 5, true)).to.equal('abc\x1b[31md\x1b[0m…');
  });

  it('draws values, gaps and what is above the limit', () => {
    const spans = sparkline([0, 50, 100, null, 200], 100, 150);
    expect(spans.map(([text]) => text).join('')).to.equal('▁▅█ █');
    expect(spans.map(([, style]) => style)).to.deep.equal(['cyan', 'cyan', 'cyan', undefined, 'red']);
  });
});
