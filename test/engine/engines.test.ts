import { expect } from 'chai';
import { Engines } from '../../src/engine/engines.js';
import { NemoError } from '../../src/model/errors.js';
import type { Engine, EngineEntry } from '../../src/sandbox/engine.js';
import { spec } from '../dispatch/in-process-box.js';

describe('the engines of a box', () => {
  let opened: string[];
  let checks: number;
  let closed: string[];
  const engine = (kind: string, ok: boolean): Engine => ({
    kind,
    check: async () => {
      checks++;
      return ok ? { ok } : { ok, reason: 'no way', hint: 'get one' };
    },
    prepare: async ({ content }) => ({ content, ending: 'x' }),
    start: () => Promise.reject(new Error('not asked for')),
    close: async () => void closed.push(kind),
  });
  const entry = (kind: string, ok = true, more: Partial<EngineEntry> = {}): EngineEntry => ({
    kind,
    about: `about ${kind}`,
    open: async () => {
      opened.push(kind);
      return engine(kind, ok);
    },
    ...more,
  });
  const source = { functionName: 'f', content: Buffer.from('1'), filename: 'f.ts' };
  const refusal = async (work: Promise<unknown>): Promise<NemoError> => {
    const thrown = await work.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(thrown).to.be.instanceOf(NemoError);
    return thrown as NemoError;
  };

  beforeEach(() => {
    opened = [];
    checks = 0;
    closed = [];
  });

  it('opens an engine when it is asked for, once, and closes only those', async () => {
    const engines = new Engines([entry('a'), entry('b')]);
    expect(opened).to.deep.equal([]);
    await Promise.all([engines.get('b'), engines.get('b')]);
    expect(opened).to.deep.equal(['b']);
    await engines.close();
    expect(closed).to.deep.equal(['b']);
  });

  it('tells what functions there are to engines that keep something of them, opened or not, each its own', async () => {
    const told: string[][] = [];
    const keeper = (kind: string, keeps: boolean) =>
      entry(kind, true, {
        keeps: () => keeps,
        open: async () => ({
          ...engine(kind, true),
          retain: (functions) => void told.push([kind, ...functions.map(({ ref }) => ref.key)]),
        }),
      });
    const engines = new Engines([entry('a'), keeper('b', true), keeper('c', false)]);
    await engines.retain([spec('of-a', { engine: 'a' }), spec('of-b', { engine: 'b' })]);
    expect(told).to.deep.equal([['b', 'of-b']]);
    expect(opened).to.deep.equal([]);
  });

  it('names the engines there are when asked for another', async () => {
    const error = await refusal(new Engines([entry('a'), entry('b')]).prepare('c', source));
    expect(error.code).to.equal('BAD_REQUEST');
    expect(error.hint).to.contain('a, b');
  });

  it('refuses a deploy for an engine that does not work here, saying why', async () => {
    const error = await refusal(new Engines([entry('a', false)]).prepare('a', source));
    expect([error.code, error.hint]).to.deep.equal(['UNSUPPORTED', 'get one']);
    expect(error.message).to.contain('no way');
  });

  it('refuses a network to functions of an engine that gives none', async () => {
    const engines = new Engines([entry('a'), entry('b', true, { egress: true })]);
    const error = await refusal(engines.prepare('a', { ...source, egress: true }));
    expect(error.code).to.equal('BAD_REQUEST');
    expect(opened).to.deep.equal([]);
    expect((await engines.prepare('b', { ...source, egress: true })).ending).to.equal('x');
  });

  it('reports each, also one that cannot even be opened, and keeps the answers for a while', async () => {
    const broken = entry('c', true, { open: () => Promise.reject(new Error('no file')) });
    const engines = new Engines([entry('a'), entry('b', false), broken]);
    const list = await engines.list();
    expect(list.map(({ kind, ok, reason }) => [kind, ok, reason])).to.deep.equal([
      ['a', true, undefined],
      ['b', false, 'no way'],
      ['c', false, 'no file'],
    ]);
    await engines.list();
    expect(checks).to.equal(2);
  });

  it('tells stems apart by engine and variant', () => {
    const engines = new Engines([
      entry('a'),
      entry('b', true, { variant: ({ sharingGroup }) => sharingGroup ?? '' }),
    ]);
    const kind = (over: object) => engines.stemKind(spec('f', over)).key;
    expect(kind({ engine: 'a' })).to.equal(kind({ engine: 'a', sharingGroup: 'me' }));
    expect(kind({ engine: 'b', sharingGroup: 'me' })).to.equal('b/me');
    expect(kind({ engine: 'b', sharingGroup: 'you' })).to.equal('b/you');
  });
});
