import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { packagePath } from '../../../src/bundle/pack.js';
import type { StoredPackage } from '../../../src/model/package.js';
import { ask, errorOf, SandboxBench } from '../../support/sandboxes.js';

describe('packages in process sandboxes', () => {
  const bench = new SandboxBench();
  after(() => bench.close());
  const made = (name: string, code: string) =>
    bench.store({
      name,
      entries: ['e.mjs'],
      files: { 'e.mjs': `import './shared.mjs';${code}`, 'shared.mjs': '' },
    });
  const shelf = join(bench.directory, 'sandboxes', 'process', 'packages');
  const LIST = `import { readdirSync } from 'node:fs'; export default () => readdirSync('/function/packages');`;
  const using = (...packages: StoredPackage[]): string =>
    `${packages.map(({ hash }) => `import '${packagePath(hash, 'e.mjs')}';`).join('')}${LIST}`;

  it('are there for the functions that have them, as one copy, and gone with the last sandbox', async () => {
    const [one, two] = [made('one@1', ''), made('two@1', '')];
    const first = await bench.run(using(one, two), { packages: [one, two] });
    const second = await bench.run(using(one), { packages: [one] });
    expect(((await ask(first)) as string[]).sort()).to.deep.equal([one.hash, two.hash].sort());
    expect(await ask(second)).to.deep.equal([one.hash]);
    expect(statSync(join(shelf, one.hash, 'e.mjs'))).to.include({ nlink: 3, uid: 0 });
    await first.kill();
    expect(await ask(second)).to.deep.equal([one.hash]);
    await second.kill();
    // Removed beside whatever comes next, which waits for it.
    const third = await bench.run(using(one), { packages: [one] });
    expect(await ask(third)).to.deep.equal([one.hash]);
    expect(readdirSync(shelf)).to.deep.equal([one.hash]);
    await third.kill();
  });

  it('are imported once, by the stem, and loaded with the function where the stem lacks them', async () => {
    const count = `globalThis[Symbol.for('count')] = (globalThis[Symbol.for('count')] ?? 0) + 1;`;
    const [one, two] = [made('one@2', count), made('two@2', count)];
    const stem = await bench.start({ packages: [one] });
    expect(stem.ahead!.effect).to.equal('changes globalThis.Symbol(count)');
    await bench.load(stem, using(one, two).replace(/\(\) =>.*/, `() => globalThis[Symbol.for('count')];`), {
      packages: [one, two],
    });
    expect(await ask(stem)).to.equal(2);
  });

  it('that are not what their hash says come into no sandbox', async () => {
    const one = made('one@3', 'export const good = 1;');
    writeFileSync(one.path, '{"name":"x","entries":[],"files":{"e.mjs":"export const evil = 1;"}}');
    const loading = await errorOf(bench.run(using(one), { packages: [one] }));
    expect(loading.code).to.equal('FUNCTION_LOAD');
    expect(loading.message).to.include('is damaged');
    expect((await errorOf(bench.start({ packages: [one] }))).message).to.include('is damaged');
    expect(existsSync(join(shelf, one.hash))).to.equal(false);
  });

  it('that take more memory than a stem may have end with their stem', async () => {
    const hog = made('hog@1', `const all = []; for (;;) all.push(Buffer.alloc(1e6, 1));`);
    const error = await errorOf(bench.start({ packages: [hog] }));
    expect(error.code).to.equal('SANDBOX_START');
    expect(await ask(await bench.run('export default () => 1;'))).to.equal(1);
  });
});
