import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { checkFunction } from '../../src/bundle/bundle.js';
import { bundleApart } from '../../src/bundle/bundle-apart.js';
import {
  checkPackages,
  openPackage,
  packagePath,
  requireImported,
  sealPackage,
} from '../../src/bundle/pack.js';
import type { PackageInput } from '../../src/model/package.js';
import { bulk, Projects } from '../support/package-project.js';
import { errorOf } from '../support/sandboxes.js';

describe('packages kept apart from a function', () => {
  const projects = new Projects();
  after(() => projects.remove());

  /** What the function answers where its packages lie in `folder` instead of a sandbox. */
  async function answer({ code, packages }: { code: string; packages: PackageInput[] }): Promise<unknown> {
    const folder = projects.make({});
    let text = code;
    for (const one of packages) {
      const { hash } = sealPackage(one);
      projects.write(join(folder, hash), one.files);
      for (const entry of one.entries) {
        text = text.replaceAll(packagePath(hash, entry), pathToFileURL(join(folder, hash, entry)).href);
      }
    }
    writeFileSync(join(folder, 'run.mjs'), text);
    return ((await import(join(folder, 'run.mjs'))) as { default: () => unknown }).default();
  }
  const names = ({ packages }: { packages: PackageInput[] }) => packages.map(({ name }) => name).sort();
  const bundle = (index: string, packages: Record<string, string>, files: Record<string, string> = {}) =>
    bundleApart(projects.make({ 'index.ts': index, ...files }, packages));

  it('are the same, to the byte, for every function that imports them', async () => {
    const one = await bundle(`import { table } from 'a'; export default () => table.length;`, { a: bulk() });
    const two = await bundle(`import { table as t } from 'a'; export default () => t[1].row;`, { a: bulk() });
    expect([names(one), names(two)]).to.deep.equal([['a@1.0.0'], ['a@1.0.0']]);
    expect(sealPackage(one.packages[0]!).hash).to.equal(sealPackage(two.packages[0]!).hash);
    expect(one.code).to.not.include('xxxx');
    expect([await answer(one), await answer(two)]).to.deep.equal([1280, 1]);
    const changed = await bundle(`import { table } from 'a'; export default () => table;`, { a: bulk(81) });
    expect(sealPackage(changed.packages[0]!).hash).to.not.equal(sealPackage(one.packages[0]!).hash);
  });

  it('give CommonJS and ES exports as a bundle does', async () => {
    const cjs = `const { join } = require('path'); exports.__esModule = true; exports.default = 'inner';
      exports.named = join('a', 'b');\n${bulk().replace('export const table', 'exports.table')}`;
    const esm = `export default class Thing {}; export let live = 1; export const set = () => { live = 2; };\n${bulk()}`;
    const root = projects.make(
      {
        'index.mts': `import inner, { named, table } from 'old'; import * as all from 'new'; import Thing, { live, set } from 'new';
          export default () => { set(); return [Object.keys(inner), named, table.length, new Thing().constructor.name, live, all.table.length]; };`,
        'package.json': '{"main":"index.mts"}',
        'node_modules/old/package.json': '{"name":"old","version":"2.0.0"}',
        'node_modules/old/index.js': cjs,
      },
      { new: esm },
    );
    const made = await bundleApart(root);
    expect(names(made)).to.deep.equal(['new@1.0.0', 'old@2.0.0']);
    const whole = ['__esModule', 'default', 'named', 'table'];
    expect(await answer(made)).to.deep.equal([whole, 'a/b', 1280, 'Thing', 2, 1280]);
  });

  it('that share files with one another are one, so that what they share stays one', async () => {
    const made = await bundle(
      `import { a } from 'a'; import { b } from 'b'; export default () => [a === b, a.table.length];`,
      {
        a: `import * as all from 'shared'; export const a = all.state;\n${bulk(20)}`,
        b: `import * as all from 'shared'; export const b = all.state;\n${bulk(20)}`,
        shared: `${bulk()}\nexport const state = { table };`,
      },
    );
    expect(names(made)).to.deep.equal(['a@1.0.0 b@1.0.0']);
    expect(await answer(made)).to.deep.equal([true, 1280]);
  });

  it('stay in the code where keeping them apart would change something, or gain nothing', async () => {
    const big = bulk();
    const inside = async (index: string, packages: Record<string, string>, files = {}) => {
      const made = await bundle(index, packages, files);
      expect(names(made), index).to.deep.equal([]);
      return answer(made);
    };
    const answers = `export default () => table.length;`;
    await inside(
      `import './setup.js'; import { table } from 'a'; ${answers}`,
      { a: big },
      { 'setup.js': '1;' },
    );
    await inside(`import 'b'; import { table } from 'a'; ${answers}`, { a: big, b: 'globalThis.b = 1;' });
    await inside(`export default async () => (await import('a')).table.length;`, { a: big });
    await inside(`import { small } from 'a'; export default () => small;`, { a: 'export const small = 1;' });
    await inside(`import { small } from 'a'; export default () => small;`, {
      a: `${big}\nexport const small = 1;`,
    });
    const both = await inside(
      `import { table } from 'a'; export default async () => (await import('b')).again === table;`,
      { a: big, b: `export { table as again } from 'a';` },
    );
    expect(both).to.equal(true);
  });

  it('are checked again by the agent: those that the code imports, all of them and no others', async () => {
    const { code, packages } = await bundle(`import { table } from 'a'; export default () => table;`, {
      a: bulk(),
    });
    const sealed = checkPackages(JSON.parse(JSON.stringify(packages)));
    const { imports } = await checkFunction(code, 'f.mjs', true);
    requireImported(sealed, imports);
    expect(() => requireImported([], imports)).to.throw(/did not come with it/);
    const unused = sealPackage({ name: 'b', entries: ['b.mjs'], files: { 'b.mjs': '' } });
    expect(() => requireImported([...sealed, unused], imports)).to.throw(
      /does not import all of the package b/,
    );
    expect(await errorOf(checkFunction(code, 'f.mjs'))).to.include({ code: 'BAD_FUNCTION' });
    const outside = 'import x from "/function/packages/../x.mjs"; export default () => x;';
    const { imports: crooked } = await checkFunction(outside, 'f.mjs', true);
    expect(() => requireImported([], crooked)).to.throw(/did not come with it/);
  });

  it('are refused with names that are no names, and read only if they are what their hash says', () => {
    const one = { name: 'a@1', entries: ['a.mjs'], files: { 'a.mjs': 'export {}' } };
    const [sealed] = checkPackages([one, one]);
    expect(openPackage(sealed!.content, sealed!.hash)).to.deep.equal(one);
    expect(() => openPackage(Buffer.from('{}'), sealed!.hash)).to.throw(/damaged/);
    for (const [bad, told] of [
      [[{ ...one, files: { '../a.mjs': '' } }], /'\.\.\/a\.mjs' cannot name a file/],
      [[{ ...one, files: { 'a.mjs': 1 } }], /is not text/],
      [[{ ...one, entries: ['b.mjs'] }], /entries that are not among its files/],
      [[{ ...one, entries: ['toString'] }], /entries that are not among its files/],
      [[{ ...one, name: 'a\u001b[1m' }], /no name that can be shown/],
      [[null], /no name/],
      [{}, /not a list/],
    ] as const) {
      expect(() => checkPackages(bad), String(told)).to.throw(told);
    }
  });

  it('of this project load as they do for others', async () => {
    const index = `import { marked } from 'marked'; import { Ajv } from 'ajv'; import { PNG } from 'pngjs';
      export default () => [marked.parse('# hi').trim(), new Ajv().validate({ type: 'string' }, 'x'), typeof PNG.sync.read];`;
    const made = await bundleApart(projects.inThisProject({ 'index.ts': index }));
    expect(names(made).map((name) => name.replace(/@.*/, ''))).to.deep.equal(['ajv', 'marked', 'pngjs']);
    expect(await answer(made)).to.deep.equal(['<h1>hi</h1>', true, 'function']);
  });
});
