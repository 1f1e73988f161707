import { expect } from 'chai';
import { createLogBook } from '../../src/telemetry/log-book.js';

const LIMITS = { linesPerFunction: 5, lineMaxChars: 20, charsPerFunction: 60, allMaxBytes: 1e6 };

describe('log book', () => {
  const make = () => {
    const book = createLogBook(LIMITS);
    const print = (text: string, functionName = 'f'): void =>
      book.append({ timeMs: 1, functionName, sandboxId: 'sb-1', stream: 'stdout', text });
    const texts = (tail = 100, functionName = 'f'): string[] =>
      book.read(functionName, tail).map((l) => l.text);
    return { book, print, texts };
  };

  it('keeps the last lines of each function, oldest first', () => {
    const { print, texts } = make();
    for (let i = 0; i < 23; i++) print(`${i}`);
    print('other', 'g');
    expect(texts()).to.deep.equal(['18', '19', '20', '21', '22']);
    expect(texts(2)).to.deep.equal(['21', '22']);
    expect(texts(0)).to.deep.equal([]);
    expect(texts(9, 'g')).to.deep.equal(['other']);
    expect(texts(9, 'nobody')).to.deep.equal([]);
  });

  it('is bounded in characters too', () => {
    const { print, texts } = make();
    for (let i = 0; i < 5; i++) print(`${i}`.repeat(20));
    expect(texts().join('')).to.have.length.at.most(60);
    expect(texts().at(-1)).to.equal('4'.repeat(20));
  });

  it('cuts a long line and says how long it was', () => {
    const { print, texts } = make();
    print('x'.repeat(1_000));
    expect(texts()[0]).to.equal(`${'x'.repeat(20)}... (1000 characters)`);
  });

  it('tells followers of their function only, until they stop', () => {
    const { book, print } = make();
    const heard: string[] = [];
    const stop = book.follow('f', (line) => heard.push(line.text));
    const stopOther = book.follow('f', (line) => heard.push(`also ${line.text}`));
    print('1');
    print('not', 'g');
    stop();
    stop();
    print('2');
    stopOther();
    print('3');
    expect(heard).to.deep.equal(['1', 'also 1', 'also 2']);
  });

  it('is bounded over all functions: the oldest lines of those that keep most go', () => {
    const book = createLogBook({
      ...LIMITS,
      linesPerFunction: 100,
      charsPerFunction: 1e6,
      allMaxBytes: 40_000,
    });
    const print = (functionName: string, text: string): void =>
      book.append({ timeMs: 1, functionName, sandboxId: 'sb-1', stream: 'stdout', text });
    for (let i = 0; i < 3; i++) print('small', `${i}`);
    for (let i = 0; i < 300; i++) print(`f${i % 30}`, `${i}`);
    const kept = Array.from({ length: 30 }, (_, i) => book.read(`f${i}`, 100).map(({ text }) => text));
    expect(kept.flat().length).to.be.within(150, 250);
    for (const [i, texts] of kept.entries()) expect(texts.at(-1)).to.equal(`${270 + i}`);
    expect(book.read('small', 100)).to.have.length(3);
    for (let i = 0; i < 30; i++) book.forget(`f${i}`);
    // What was forgotten makes room again.
    for (let i = 0; i < 100; i++) print('late', `${i}`);
    expect(book.read('late', 100)).to.have.length(100);
  });

  it('forgets', () => {
    const { book, print, texts } = make();
    print('1');
    book.forget('f');
    expect(texts()).to.deep.equal([]);
    print('2');
    expect(texts()).to.deep.equal(['2']);
  });
});
