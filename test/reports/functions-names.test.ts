import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { nemo, RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

const FILES: Record<string, string> = {
  'package.json': '{ "type": "module", "main": "src/index.ts" }',
  'src/index.ts': `import { deep } from '../lib/deep.js';
import { old } from 'old';

interface Asked { what: string }

export default async (event: Asked) => {
  if (event.what === 'late') {
    setTimeout(() => {
      throw new Error('late');
    }, 0);
  }
  if (event.what === 'print') console.error(new Error('printed').stack);
  if (event.what === 'package') old();
  return event.what === 'throw' ? deep(event.what) : 'ok';
};
`,
  'lib/deep.ts': `type Text = string;


export function deep(text: Text): never {
  throw new Error(text);
}
`,
  // It asks for one of node's own modules: the bundle begins with lines of NEMO's then.
  'node_modules/old/index.js': `const { inspect } = require('util');

exports.old = () => { throw new Error(inspect(1)); };
`,
  'node_modules/old/package.json': '{ "name": "old", "version": "1.0.0" }',
};

/** A stack named `/function/function.mjs` and lines of what the bundler had made. */
describe('the places in a function’s messages', function () {
  this.timeout(60_000);
  const agent = new RealAgent({ policy: 'naive' });
  const folder = mkdtempSync('/var/tmp/nemo-names-');
  before(async () => {
    for (const [name, text] of Object.entries(FILES)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    await agent.start();
  });
  after(async () => {
    await agent.close();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const engine of ['process', 'isolate']) {
    it(`are those of the user’s own files: ${engine}`, async () => {
      const args = ['deploy', folder, '--name', `names-${engine}`, '--engine', engine, '--agent', agent.url];
      const { code, err, out } = await nemo(args);
      expect(code, err + out).to.equal(0);
      const ask = (what: string) =>
        agent.fetch(`/function/names-${engine}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ what }),
        });
      expect((await ask('throw')).status).to.equal(500);
      expect((await ask('print')).status).to.equal(200);
      expect((await ask('package')).status).to.equal(500);
      expect((await ask('late')).status).to.equal(200);
      const places = [
        'lib/deep.ts:5:9',
        'src/index.ts:12:45',
        'node_modules/old/index.js:3:29',
        'src/index.ts:9:13',
      ];
      let told = '';
      await until(async () => {
        told = (await agent.logs(`names-${engine}`)).join('\n');
        return told.includes('Error: late');
      });
      for (const place of places)
        expect(told).to.match(new RegExp(`[ (]${place.replaceAll('.', '\\.')}[)\n]`));
      expect(told).to.not.contain('/function/function.mjs');
    });
  }

  it('are so when the code does not parse, at the deploy', async () => {
    const broken = join(folder, 'broken.ts');
    writeFileSync(broken, 'type A = string;\nexport default () => {\n  const a: A = ;\n};\n');
    const { code, err, out } = await nemo(['deploy', broken, '--name', 'broken', '--agent', agent.url]);
    expect(code).to.not.equal(0);
    expect(err + out).to.contain('broken.ts:3:16');
  });
});
