import { expect } from 'chai';
import { parseErrorReport } from '../../src/sandbox/reports.js';
import { startOf } from '../../src/streams/own-text.js';
import { createLogBook } from '../../src/telemetry/log-book.js';
import { heapBytes } from '../support/heap.js';

const LONG = 500_000;
const COUNT = 60;

describe('the start of a long text', () => {
  it('is the text itself where that is short, and else as long as it may be', () => {
    expect(startOf('short', 10)).to.equal('short');
    expect(startOf('0123456789€', 11)).to.equal('0123456789€');
    expect(startOf('0123456789€x', 11)).to.equal('0123456789€');
  });

  it('keeps nothing of the rest: of what a function throws, of what it prints', () => {
    const before = heapBytes();
    const kept = Array.from({ length: COUNT }, () => {
      const told = { code: 'x', name: 'E', message: 'm'.repeat(LONG), stack: '' };
      return `f threw ${parseErrorReport(Buffer.from(JSON.stringify(told))).message}`;
    });
    const book = createLogBook();
    for (let i = 0; i < COUNT; i++) {
      const text = Buffer.alloc(LONG, 'p').toString();
      book.append({ timeMs: i, functionName: 'f', sandboxId: 'sb-1', stream: 'stdout', text });
    }
    expect(heapBytes() - before).to.be.below((COUNT * LONG) / 4);
    expect(kept).to.have.length(COUNT);
    expect(book.read('f', COUNT)).to.have.length(COUNT);
  });
});
