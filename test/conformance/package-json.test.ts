/**
 * Node's resolution of packages (nodejs.org/api/packages.html, "P", and esm.html#resolution-algorithm, "E"), as a function
 * has it after its deploy: each row is run by node itself on the same folder, and must give the same. Not in the table:
 * native addons, which no sandbox runs, and a package without any package.json, which takes the function's for its own.
 */

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { bundleFunction } from '../../src/bundle/bundle.js';

interface Row {
  rule: string;
  /** Of the package `pkg`. */
  manifest?: object | string;
  files: Record<string, string>;
  /** Of the function; gives `value`. */
  code: string;
  own?: object;
}

const esm = (value: string) => `export default ${JSON.stringify(value)};`;
const cjs = (value: string) => `module.exports = ${JSON.stringify(value)};`;
const VALUE = `import value from 'pkg';`;
const both = { 'a.mjs': esm('esm'), 'b.cjs': cjs('cjs'), 'index.js': cjs('index') };

const ROWS: Row[] = [
  { rule: 'P main: a file', manifest: { main: 'b.cjs' }, files: both, code: VALUE },
  {
    rule: 'P main: without its ending',
    manifest: { main: './lib' },
    files: { 'lib.js': cjs('lib') },
    code: VALUE,
  },
  {
    rule: 'P main: a folder',
    manifest: { main: './lib' },
    files: { 'lib/index.js': cjs('lib') },
    code: VALUE,
  },
  { rule: 'P main: none, index.js', manifest: {}, files: both, code: VALUE },
  {
    rule: 'P "module" is not node’s',
    manifest: { main: 'b.cjs', module: 'a.mjs' },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P "browser" is not node’s',
    manifest: { main: 'b.cjs', browser: 'index.js' },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P "browser" maps nothing',
    manifest: { main: 'b.cjs', browser: { './b.cjs': false } },
    files: both,
    code: VALUE,
  },
  { rule: 'P exports: a string', manifest: { main: 'b.cjs', exports: './a.mjs' }, files: both, code: VALUE },
  { rule: 'P exports: "."', manifest: { exports: { '.': './a.mjs' } }, files: both, code: VALUE },
  {
    rule: 'P exports: import',
    manifest: { exports: { import: './a.mjs', require: './b.cjs' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: require',
    manifest: { exports: { import: './a.mjs', require: './b.cjs' } },
    files: both,
    code: `import { createRequire } from 'node:module'; const value = createRequire(import.meta.url) && (await import('./own.cjs')).default;`,
  },
  {
    rule: 'P exports: node before default',
    manifest: { exports: { node: './b.cjs', default: './a.mjs' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: default before node',
    manifest: { exports: { default: './a.mjs', node: './b.cjs' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: browser is skipped',
    manifest: { exports: { browser: './index.js', default: './a.mjs' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: unknown conditions are skipped',
    manifest: { exports: { deno: './index.js', worker: './index.js', default: './a.mjs' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: "module" is not node’s condition',
    manifest: { exports: { module: './index.js', default: './a.mjs' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: nested conditions',
    manifest: { exports: { node: { import: './a.mjs', require: './b.cjs' }, default: './index.js' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: module-sync',
    manifest: { exports: { 'module-sync': './b.cjs', default: './a.mjs' } },
    files: both,
    code: VALUE,
  },
  {
    rule: 'E exports: an array takes the first that is valid',
    manifest: { exports: ['not-valid', './a.mjs'] },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P exports: a subpath',
    manifest: { exports: { './x': './a.mjs' } },
    files: both,
    code: `import value from 'pkg/x';`,
  },
  {
    rule: 'P exports: a subpath that is not named',
    manifest: { exports: { '.': './a.mjs' } },
    files: both,
    code: `import value from 'pkg/b.cjs';`,
  },
  {
    rule: 'P exports: a pattern',
    manifest: { exports: { './f/*.js': './lib/*.js' } },
    files: { 'lib/q/r.js': cjs('r') },
    code: `import value from 'pkg/f/q/r.js';`,
  },
  {
    rule: 'P exports: the longer pattern wins',
    manifest: { exports: { './*': './index.js', './f/*': './a.mjs' } },
    files: both,
    code: `import value from 'pkg/f/q';`,
  },
  {
    rule: 'P exports: null takes away',
    manifest: { exports: { './f/*': './*', './f/in/*': null } },
    files: { 'in/x.js': cjs('x') },
    code: `import value from 'pkg/f/in/x.js';`,
  },
  {
    rule: 'E exports: a target that is not there',
    manifest: { exports: './none.js' },
    files: both,
    code: VALUE,
  },
  {
    rule: 'E a subpath without exports',
    manifest: {},
    files: { 'lib/x.js': cjs('x') },
    code: `import value from 'pkg/lib/x.js';`,
  },
  { rule: 'E a package that is not there', files: both, code: `import value from 'none';` },
  {
    rule: 'P imports: of the function',
    own: { imports: { '#x': './own.cjs' } },
    manifest: { main: 'b.cjs' },
    files: both,
    code: `import value from '#x';`,
  },
  {
    rule: 'P imports: conditions',
    own: { imports: { '#x': { browser: './none.js', node: 'pkg' } } },
    manifest: { main: 'b.cjs' },
    files: both,
    code: `import value from '#x';`,
  },
  {
    rule: 'P imports: a pattern',
    own: { imports: { '#x/*': './*.cjs' } },
    manifest: { main: 'b.cjs' },
    files: both,
    code: `import value from '#x/own';`,
  },
  {
    rule: 'P imports: of the package',
    manifest: { main: 'index.cjs', imports: { '#in': './b.cjs' } },
    files: { ...both, 'index.cjs': `module.exports = require('#in');` },
    code: VALUE,
  },
  {
    rule: 'P self reference of the package',
    manifest: { name: 'pkg', exports: { '.': './self.cjs', './b': './b.cjs' } },
    files: { ...both, 'self.cjs': `module.exports = require('pkg/b');` },
    code: VALUE,
  },
  {
    rule: 'P self reference of the function',
    own: { name: 'fn', exports: { './own': './own.cjs' } },
    manifest: { main: 'b.cjs' },
    files: both,
    code: `import value from 'fn/own';`,
  },
  {
    rule: 'P type: module',
    manifest: { type: 'module', main: 'x.js' },
    files: { 'x.js': esm('x') },
    code: VALUE,
  },
  {
    rule: 'P type: commonjs',
    manifest: { type: 'commonjs', main: 'x.js' },
    files: { 'x.js': `module.exports = typeof require + typeof exports;` },
    code: VALUE,
  },
  {
    rule: 'P .mjs whatever the type',
    manifest: { type: 'commonjs', exports: './a.mjs' },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P .cjs whatever the type',
    manifest: { type: 'module', main: './b.cjs' },
    files: both,
    code: VALUE,
  },
  {
    rule: 'P the nearest package.json says the type',
    manifest: { main: './in/x.js' },
    files: { 'in/package.json': '{"type":"module"}', 'in/x.js': esm('x') },
    code: VALUE,
  },
  {
    rule: 'E named exports of CommonJS',
    manifest: { main: 'x.cjs' },
    files: { 'x.cjs': `exports.a = 1; exports.default = 2;` },
    code: `import * as all from 'pkg'; import { a } from 'pkg'; const value = [a, Object.keys(all).filter((name) => name !== 'module.exports').sort()];`,
  },
  {
    rule: 'E the default of CommonJS is module.exports',
    manifest: { main: 'x.cjs' },
    files: { 'x.cjs': `exports.__esModule = true; exports.default = 2;` },
    code: `import whole from 'pkg'; const value = whole;`,
  },
  {
    rule: 'E JSON with an attribute',
    manifest: {},
    files: { 'x.json': '{"a":[1]}' },
    code: `import value from 'pkg/x.json' with { type: 'json' };`,
  },
  {
    rule: 'E import() of a package',
    manifest: { exports: './a.mjs' },
    files: both,
    code: `const { default: value } = await import('pkg');`,
  },
  {
    rule: 'E node: and bare names of node’s own',
    manifest: {},
    files: both,
    code: `import { sep } from 'node:path'; import path from 'path'; const value = [sep, path.sep];`,
  },
  {
    rule: 'E node’s own win over packages',
    manifest: {},
    files: both,
    code: `import path from 'path'; const value = typeof path.join;`,
  },
];

const run = promisify(execFile);
const TELL = `const told = [];
for (const path of process.argv.slice(1)) {
  try { told.push(JSON.stringify(await (await import(path)).default())); } catch { told.push('refused'); }
}
console.log(JSON.stringify(told));`;

/** What each module gives, by one node. */
async function outcomesOf(modules: string[]): Promise<string[]> {
  const args = ['--no-warnings', '--input-type=module', '-e', TELL, ...modules];
  return JSON.parse((await run(process.execPath, args)).stdout) as string[];
}

describe('package.json, as node reads it', function () {
  this.timeout(30_000);
  const root = mkdtempSync(join(tmpdir(), 'nemo-packages-'));
  after(() => rmSync(root, { recursive: true, force: true }));
  let byNode: string[] = [];
  let deployed: string[] = [];

  /** Returns the function's folder, and its module; a path without a file where it was refused. */
  async function make({ manifest, files, code, own = {} }: Row, i: number): Promise<[string, string]> {
    const folder = join(root, `${i}`);
    const put = (path: string, text: string): void => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    for (const [name, text] of Object.entries(files)) put(`node_modules/pkg/${name}`, text);
    if (manifest !== undefined) put('node_modules/pkg/package.json', JSON.stringify(manifest));
    put('package.json', JSON.stringify({ type: 'module', ...own }));
    put('own.cjs', `let v = 'own'; try { v = require('pkg'); } catch {} module.exports = v;`);
    put('index.js', `${code}\nexport default () => value;\n`);
    const bundle = join(root, `${i}.mjs`);
    await bundleFunction(folder).then(
      ({ code: bundled }) => writeFileSync(bundle, bundled),
      () => undefined,
    );
    return [join(folder, 'index.js'), bundle];
  }

  before(async () => {
    const made = await Promise.all(ROWS.map(make));
    [byNode, deployed] = (await Promise.all([0, 1].map((i) => outcomesOf(made.map((one) => one[i]!))))) as [
      string[],
      string[],
    ];
  });

  it('P exports: of the function itself, in the order of the file', async () => {
    const folder = join(root, 'entry');
    mkdirSync(folder);
    for (const name of ['first', 'second', 'third'])
      writeFileSync(join(folder, `${name}.mjs`), `export default () => '${name}';`);
    for (const [exports, runs] of [
      [{ default: './first.mjs', import: './second.mjs' }, 'first'],
      [{ browser: './first.mjs', node: { require: './first.mjs', import: './second.mjs' } }, 'second'],
      [{ '.': ['./third.mjs', './first.mjs'] }, 'third'],
      [{ require: './second.mjs' }, 'second'],
    ] as const) {
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ exports }));
      expect((await bundleFunction(folder)).code).to.contain(`"${runs}"`);
    }
  });

  for (const [i, { rule }] of ROWS.entries()) {
    it(rule, () => expect(deployed[i]).to.equal(byNode[i]));
  }

  it('leaves neither side with nothing but refusals', () => {
    expect(byNode.filter((one) => one !== 'refused')).to.have.length.greaterThan(ROWS.length / 2);
  });
});
