import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ABOVE_ZERO, COUNT, checkOutput, numberOption, PORT, writeOutput } from '../../src/cli/options.js';
import { NemoError } from '../../src/model/errors.js';

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    expect(thrown).to.be.instanceOf(NemoError).and.include({ code: 'BAD_CONFIG' });
    return (thrown as NemoError).message;
  }
  throw new Error('nothing was refused');
}

describe('numbers of a command line', () => {
  it('are taken within their bounds', () => {
    expect(numberOption('0', '--port', PORT)).to.equal(0);
    expect(numberOption('65535', '--port', PORT)).to.equal(65_535);
    expect(numberOption('0.5', '--seconds', ABOVE_ZERO)).to.equal(0.5);
    expect(numberOption('1e3', '--rounds', COUNT)).to.equal(1000);
  });

  it('are refused beyond, with the option and what it may be', () => {
    for (const text of ['', ' ', 'abc', '-1', '65536', '80.5', 'NaN', 'Infinity', '8080x']) {
      expect(refusal(() => numberOption(text, '--port', PORT))).to.equal(
        `--port must be a whole number from 0 to 65535, not "${text}"`,
      );
    }
    expect(refusal(() => numberOption('0', '--seconds', ABOVE_ZERO))).to.contain('a number above 0');
    expect(refusal(() => numberOption('1.5', '--rounds', COUNT))).to.contain('a whole number from 1 up');
  });
});

describe('files that a command writes in the end', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-options-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('are refused at the start where they cannot be', () => {
    expect(refusal(() => checkOutput(folder, '--md'))).to.equal(`--md ${folder}: it is a folder`);
    expect(refusal(() => checkOutput(join(folder, 'no', 'x.json'), '--json'))).to.contain(
      'there is no folder',
    );
    const inFile = '/proc/self/stat/x.json';
    expect(refusal(() => checkOutput(inFile, '--json'))).to.contain('there is no folder /proc/self/stat');
    expect(refusal(() => writeOutput(join(folder, 'no', 'x.json'), '--json', ''))).to.contain('--json');
  });

  it('may be there or not, and checking makes none', () => {
    const file = join(folder, 'new.json');
    checkOutput(undefined, '--json');
    checkOutput(file, '--json');
    expect(() => rmSync(file)).to.throw('ENOENT');
    writeOutput(file, '--json', '1');
    checkOutput(file, '--json');
  });
});
