import { expect } from 'chai';
import { SandboxBench } from '../support/sandboxes.js';

/** What node puts in place late, by itself, was taken for the doing of every package (node 26) or of some (node 20). */
describe('a package that a stem imports is blamed only for what it does itself', () => {
  const bench = new SandboxBench();
  after(() => bench.close());
  const effectOf = async (code: string): Promise<string | undefined> => {
    const entry = { name: 'some@1', entries: ['e.mjs'], files: { 'e.mjs': code } };
    const stem = await bench.start({ packages: [bench.store(entry)] });
    const { effect } = stem.ahead!;
    await stem.kill();
    return effect;
  };

  const HARMLESS: Record<string, string> = {
    'names nothing of node': 'export const one = 1;',
    'answers for the web': `export const answer = () => new Response('x');`,
    'makes events': `export const made = typeof MessageEvent === 'function' && new MessageEvent('x');`,
    'uses threads': `import { isMainThread } from 'node:worker_threads'; export { isMainThread };`,
    'looks in': `import { createRequire } from 'node:module';
      const require = createRequire(import.meta.url); export const looks = require("inspector").url;`,
  };
  for (const [what, code] of Object.entries(HARMLESS)) {
    it(`which ${what}`, async () => expect(await effectOf(code)).to.equal(undefined));
  }

  for (const name of ['FormData', 'WebSocket', 'setTimeout', 'Array']) {
    it(`and if it replaces ${name}`, async () => {
      expect(await effectOf(`globalThis.${name} = class {};`)).to.equal(`changes globalThis.${name}`);
    });
  }
  it('and if it adds to what others inherit from', async () => {
    const code = 'Headers.prototype.shout = () => 1;';
    expect(await effectOf(code)).to.equal('changes Headers.prototype.shout');
  });
});
