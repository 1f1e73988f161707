import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const ROOT = fileURLToPath(new URL('../../../src/policy', import.meta.url));
/** A clock, a timer, or a part of node that reads or writes something. */
const IMPURE = /\b(?:performance|Date|process|Atomics)\b\.|\bset(?:Timeout|Interval|Immediate)\b|from 'node:/;

describe('policies', () => {
  const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );

  it('are there', () => expect(files).to.include('conflict/decide.ts'));

  for (const name of files) {
    it(`${name} is given what it sees and the time, and asks nobody`, () => {
      const code = readFileSync(join(ROOT, name), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
      expect(IMPURE.exec(code)?.[0]).to.equal(undefined);
    });
  }
});
