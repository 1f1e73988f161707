import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

const MOCHA = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'));
const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

interface Reported {
  fullTitle: string;
  err: { message?: string };
}

describe('a test that asserts nothing', function () {
  this.timeout(20_000);

  it('fails and no other does, whether it waits or not', async () => {
    const args = ['--no-config', '--reporter', 'json', '--require', beside('./assertion-rule.js')];
    const run = promisify(execFile)(process.execPath, [MOCHA, ...args, beside('./assertion-rule-cases.js')]);
    const { code, stdout } = await run.then(
      () => expect.fail('all passed'),
      (error) => error as { code: number; stdout: string },
    );
    const { passes, failures, pending } = JSON.parse(stdout) as Record<string, Reported[]>;
    const groups = (tests: Reported[]) => tests.map(({ fullTitle }) => fullTitle.replace(/ (with|by).*/, ''));
    expect(groups(passes!)).to.deep.equal(Array(4).fill('passes'));
    expect(groups(failures!)).to.deep.equal(Array(4).fill('fails'));
    for (const { err } of failures!) expect(err.message).to.contain('without having asserted anything');
    expect(groups(pending!)).to.deep.equal(Array(2).fill('is left out'));
    expect(code).to.equal(4);
  });
});
