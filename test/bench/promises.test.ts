import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { PROMISES } from '../../bench/promises.js';

const SPECIFICATION = readFileSync(new URL('../../../SPECIFICATION.md', import.meta.url), 'utf8');

describe('the limits by which the bench judges', () => {
  for (const [name, { row }] of Object.entries(PROMISES)) {
    it(`are those of SPECIFICATION.md: ${name}`, () => {
      const rows = SPECIFICATION.split('\n').filter((line) => line.startsWith('|') && line.includes(row));
      expect(rows, row).to.have.length(1);
    });
  }
});
