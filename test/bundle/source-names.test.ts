import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { readMap, SourceNames } from '../../src/bundle/source-names.js';
import { FunctionFiles } from '../../src/pool/function-files.js';
import { SOURCE_NAMES } from '../../src/tunables/index.js';
import { spec } from '../dispatch/in-process-box.js';
import { HTTP, STDIO, WASM } from '../support/sources.js';

describe('names of sources in what functions say', () => {
  let folder: string;
  let count = 0;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-names-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const PLACE = 'at /function/function.mjs:1:1';
  const stored = (map: unknown): string => {
    const path = join(folder, `${count++}.mjs`);
    const encoded = Buffer.from(typeof map === 'string' ? map : JSON.stringify(map)).toString('base64');
    writeFileSync(path, `export default 1;\n//# sourceMappingURL=data:application/json;base64,${encoded}`);
    return path;
  };
  const map = (sources: unknown, more: object = {}) => ({
    ...{ version: 3, names: [], sources, mappings: 'AAAA' },
    ...more,
  });

  it('are those of the map', () => {
    expect(new SourceNames().restore(stored(map(['src/a.ts'])), PLACE)).to.equal('at src/a.ts:1:1');
  });

  for (const [what, hostile] of [
    ['a source that is a number', map([5])],
    ['a source that is null', map([null])],
    ['no source', map([], { mappings: 'A' })],
    ['no list of sources', map(null)],
    ['mappings that are none', map(['a'], { mappings: '!!!' })],
    ['mappings that are a number', map(['a'], { mappings: 7 })],
    ['null', 'null'],
    ['no JSON', '{'],
    ['sections within sections', map(['a'], { sections: [{ offset: null, map: null }] })],
  ] as const)
    it(`are left out, and nothing breaks, where the map has ${what}`, () => {
      const said = new SourceNames().restore(stored(hostile), PLACE);
      expect(said).to.be.oneOf([PLACE, 'at a:1:1']);
    });

  it('are cut, and of one text so many at most', () => {
    const path = stored(map(['x'.repeat(10_000)]));
    const said = new SourceNames().restore(path, Array(2_000).fill(PLACE).join('\n'));
    const shown = said.split('\n').filter((line) => line.startsWith('at x'));
    expect(shown).to.have.length(SOURCE_NAMES.placesMax);
    expect(shown[0]!.length).to.be.at.most(SOURCE_NAMES.nameMaxChars + 10);
  });

  it('are looked up in modules only, which no WebAssembly and no program is', () => {
    const bundlePath = (): string => stored(map(['src/a.ts']));
    const files = new FunctionFiles({ bundlePath, packagePath: (hash) => hash });
    expect(files.ownNames(spec('f'), PLACE)).to.equal('at src/a.ts:1:1');
    for (const source of [WASM, STDIO, HTTP])
      expect(files.ownNames(spec('f', { source }), PLACE), source.kind).to.equal(PLACE);
  });

  it('are looked up a tenth of the time at most, however many functions print places', () => {
    let nowMs = 0;
    const names = new SourceNames(
      (path) => {
        nowMs += 100;
        return readMap(path);
      },
      () => nowMs,
    );
    const shown = (): boolean => names.restore(stored(map(['src/a.ts'])), PLACE) !== PLACE;
    expect([shown(), shown(), shown()]).to.deep.equal([true, true, false]);
    nowMs += 799;
    expect(shown()).to.equal(false);
    nowMs += 2;
    expect([shown(), shown()]).to.deep.equal([true, false]);
    nowMs += 10_000;
    expect([shown(), shown(), shown()]).to.deep.equal([true, true, false]);
  });
});
