import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { bundleFunction, checkFunction } from '../../src/bundle/bundle.js';
import { errorOf } from '../support/sandboxes.js';

describe('bundling a function', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-test-bundle-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  let count = 0;
  function project(files: Record<string, string>): string {
    const root = join(folder, `p${count++}`);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    return root;
  }

  async function run(code: string): Promise<unknown> {
    const file = join(folder, `run${count++}.mjs`);
    writeFileSync(file, code);
    return ((await import(file)) as { default: (event?: unknown) => unknown }).default();
  }

  it('takes a TypeScript file with what it imports', async () => {
    const root = project({
      'main.ts': 'import { twice } from "./lib.ts"; export default (): number => twice(21);',
      'lib.ts': 'export const twice = (n: number): number => n * 2;',
    });
    expect(await run((await bundleFunction(join(root, 'main.ts'))).code)).to.equal(42);
  });

  for (const [what, manifest, entry] of [
    ['main', { main: 'lib/a.js' }, 'lib/a.js'],
    ['module', { module: './a.mjs', main: './gone.js' }, 'a.mjs'],
    ['exports', { exports: { '.': { import: './e.js' } } }, 'e.js'],
    ['no entry', { name: 'x' }, 'index.ts'],
  ] as const) {
    it(`finds the entry of a folder by package.json with ${what}`, async () => {
      const root = project({
        'package.json': JSON.stringify(manifest),
        [entry]: 'export default () => "found";',
      });
      expect(await run((await bundleFunction(root)).code)).to.equal('found');
    });
  }

  it('bundles CommonJS dependencies that require node modules, and the agent can check the bundle again', async () => {
    const root = project({
      'package.json': '{"main":"index.js","type":"module"}',
      'index.js': 'import dep from "dep"; export default () => dep();',
      'node_modules/dep/package.json': '{"name":"dep"}',
      'node_modules/dep/index.js': 'const { join } = require("path"); module.exports = () => join("a", "b");',
    });
    const { code } = await bundleFunction(root);
    expect(await run(code)).to.equal('a/b');
    const again = await checkFunction(code, 'dep.mjs');
    expect(await run(again.code)).to.equal('a/b');
  });

  it('shows where the code does not parse', async () => {
    const root = project({ 'bad.ts': 'const x = 1;\nexport default ( => x;\n' });
    const error = await errorOf(bundleFunction(join(root, 'bad.ts')));
    expect(error.code).to.equal('BAD_FUNCTION');
    expect(error.message)
      .to.match(/bad\.ts:2:18: /)
      .and.include('export default ( => x;');
    expect(error.details).to.include({ line: 2, column: 18 });
    const checked = await errorOf(checkFunction('export default ( => 1', 'hi.js'));
    expect(checked).to.include({ code: 'BAD_FUNCTION' });
    expect(checked.message).to.match(/^hi\.js:1:18: /);
  });

  it('names a missing dependency and how to get it', async () => {
    const root = project({ 'f.js': 'import pad from "left-pad";\nexport default () => pad("x");' });
    const error = await errorOf(bundleFunction(join(root, 'f.js')));
    expect(error).to.include({ code: 'BAD_FUNCTION' });
    expect(error.message).to.include('f.js:1:17: cannot find "left-pad"');
    expect(error.hint).to.include('npm install left-pad');
  });

  it('refuses native addons', async () => {
    const root = project({
      'f.js': 'import a from "./a.node"; export default () => a;',
      'a.node': '\x7fELF',
    });
    const error = await errorOf(bundleFunction(join(root, 'f.js')));
    expect(error).to.include({ code: 'BAD_FUNCTION' });
    expect(error.message).to.include('native addons do not run in a sandbox');
  });

  it('takes no file of the agent’s disk into a bundle that it checks, by any path or link', async () => {
    const root = project({ 's.json': '"taken"', 's.txt': 'taken', 's.js': 'export default "taken";' });
    symlinkSync(join(root, 's.json'), join(root, 'link.json'));
    const up = '../'.repeat(30);
    for (const name of ['s.json', 's.txt', 's.js', 'link.json']) {
      for (const path of [
        join(root, name),
        `${up}${join(root, name).slice(1)}`,
        `file://${join(root, name)}`,
      ]) {
        for (const code of [
          `import x from "${path}"; export default () => x;`,
          `export default () => require("${path}");`,
          `export default () => import("${path}");`,
          `import x from "data:text/javascript,export { default } from '${path}'"; export default () => x;`,
        ]) {
          expect((await errorOf(checkFunction(code, 'f.js'))).code, code).to.equal('BAD_FUNCTION');
        }
      }
    }
  });

  it('refuses a module without a default export', async () => {
    const error = await errorOf(checkFunction('export const handler = () => 1;', 'f.ts'));
    expect(error.message).to.equal('f.ts has no default export');
    expect(error.hint).to.include('export default');
  });

  it('tells apart what is not there, not code, and a folder without an entry', async () => {
    expect(await errorOf(bundleFunction(join(folder, 'nowhere.ts')))).to.include({ code: 'NOT_FOUND' });
    const root = project({
      'notes.txt': 'hi',
      'sub/package.json': '{"main":"gone.js"}',
      'bad/package.json': '{',
    });
    expect((await errorOf(bundleFunction(join(root, 'notes.txt')))).message).to.include('not a JavaScript');
    expect((await errorOf(bundleFunction(root))).message).to.include('no package.json');
    expect((await errorOf(bundleFunction(join(root, 'sub')))).message).to.include('names gone.js');
    expect((await errorOf(bundleFunction(join(root, 'bad')))).message).to.include('not valid JSON');
  });

  it('serves many at a time', async () => {
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, i) => checkFunction(`export default (): number => ${i};`, 'n.ts')),
    );
    expect(await Promise.all(all.map(({ code }) => run(code)))).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});
