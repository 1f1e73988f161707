import { expect } from 'chai';
import { ask, SandboxBench } from '../support/sandboxes.js';

/** In an isolate the line after one of 64 KB was lost: the cut took the line's end with it. */
describe('the line after a very long one', function () {
  this.timeout(20_000);
  const PRINTS = `
    console.log('x'.repeat(200_000));
    console.log('after');
    console.error('é'.repeat(65_536));
    console.error('after an error');
    console.log('many\\n'.repeat(30_000) + 'the last');`;
  const HANDLER = `export default () => {${PRINTS} };`;

  for (const kind of ['process', 'isolate'] as const) {
    it(`is in the log: ${kind}`, async () => {
      const bench = new SandboxBench(kind);
      try {
        const sandbox = await bench.run(HANDLER);
        await ask(sandbox);
        await sandbox.kill();
        const lines = bench.logs.map(({ text }) => text);
        expect(lines).to.include('after');
        expect(lines).to.include('after an error');
        expect(lines.filter((line) => line.startsWith('xxx'))).to.have.length(1);
        expect(lines.some((line) => line === 'the last' || /lines dropped/.test(line))).to.equal(true);
      } finally {
        await bench.close();
      }
    });
  }
});
