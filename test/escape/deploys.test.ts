/** Boundary: the agent, and who deploys. Attackers: whoever may deploy; a package that somebody deploys with his code. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { bundleFunction } from '../../src/bundle/bundle.js';
import { planImage } from '../../src/engine/oci/plan.js';
import { NemoError } from '../../src/model/errors.js';
import { createRegistry } from '../../src/provision/registry.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import { createLogBook } from '../../src/telemetry/log-book.js';
import { createCronTriggers } from '../../src/triggers/cron.js';
import { Days, dayTask } from '../../src/triggers/cron-times.js';
import { checkSchedule } from '../../src/triggers/schedule.js';
import { startBox } from '../gateway/in-process-platform.js';
import { errorOf } from '../support/sandboxes.js';
import { asItCame } from '../support/sources.js';

const QUICK_MS = 1_000;

describe('escape: deploys', function () {
  this.timeout(60_000);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync('/tmp/nemo-deploys-');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const quickly = (work: () => unknown): NemoError => {
    const from = process.cpuUsage();
    try {
      work();
    } catch (thrown) {
      const { user, system } = process.cpuUsage(from);
      expect((user + system) / 1_000, 'ms of CPU time').to.be.below(QUICK_MS);
      expect(thrown).to.be.instanceOf(NemoError);
      return thrown as NemoError;
    }
    throw new Error('nothing was refused');
  };

  for (const schedule of [
    '0-5999999 * * * *',
    '*/1000 * * * *',
    `${'0-59,'.repeat(1_000_000)}0 * * * *`,
    // Valid, and on no day: node-cron throws when it is started.
    '0 0 31W 2 *',
    '0 0 30W 2 *',
  ])
    it(`with the schedule ${JSON.stringify(schedule.slice(0, 20))} are refused, at once`, () => {
      expect(quickly(() => checkSchedule(schedule)).code).to.equal('BAD_REQUEST');
    });

  for (const [day, weekday] of [
    ['*/31', '4#5'],
    ['LW', '*'],
    ['15W', '*/7'],
    ['L-3', '5L'],
  ] as const) {
    it(`have each kind of day looked at once, however far the next of ${day} and ${weekday} is`, () => {
      let looks = 0;
      const counting = (expression: string) => {
        const task = dayTask(expression);
        const match = (at: Date) => {
          looks++;
          return task.match(at);
        };
        return { match, destroy: () => task.destroy() } as unknown as typeof task;
      };
      const days = new Days(day, weekday, counting);
      for (
        let at = new Date(2000, 0);
        at.getFullYear() < 2028;
        at = new Date(at.getFullYear(), at.getMonth() + 1)
      ) {
        // Within a month no day is like another.
        const anew = new Days(day, weekday);
        const [year, month] = [at.getFullYear(), at.getMonth()];
        for (let i = 1; i <= new Date(year, month + 1, 0).getDate(); i++)
          expect(days.has(year, month, i), `${year}-${month + 1}-${i}`).to.equal(anew.has(year, month, i));
        anew.close();
      }
      days.close();
      // Four lengths of months, seven weekdays, both fields.
      expect(looks).to.be.below(2 * 4 * 7 * 31);
    });
  }

  it('keep no agent from starting that stored a schedule which never comes', async () => {
    const box = await startBox();
    try {
      const { spec } = await box.platform.registry.deploy({ name: 'f', code: 'export default () => 1;' });
      spec.schedule = '0 0 31W 2 *';
      const cron = createCronTriggers(box.platform);
      expect(cron.scheduled()).to.deep.equal([]);
      const [warning] = box.platform.events.since(0, 100).filter(({ kind }) => kind === 'warning');
      expect(warning!.message).to.contain("'f' is not called by the clock");
      cron.close();
    } finally {
      await box.close();
    }
  });

  const plan = (env: string[], entry: string) => {
    const config = {
      entrypoint: [entry],
      cmd: [],
      env,
      workingDir: '/',
      volumes: [],
      ports: [],
      diffIds: [],
    };
    return planImage({ image: 'x' }, { layers: [], config }, folder);
  };

  it('of an image whose PATH has very many folders hold up nobody, and take no memory', () => {
    symlinkSync('./'.repeat(2_000), join(folder, 'l'));
    const error = quickly(() => plan([`PATH=${'l/l/l:'.repeat(20_000)}`], 'x'));
    expect(error.message).to.contain('PATH of the image');
    expect(quickly(() => plan([], 'x'.repeat(120_000))).message).to.contain('too long');
  });

  it('of an image whose links lead in circles of many steps hold up nobody', () => {
    symlinkSync(`${'./'.repeat(2_000)}l`, join(folder, 'l'));
    expect(quickly(() => plan([`PATH=${'/l:'.repeat(63)}/l`], 'x')).message).to.contain('no program');
  });

  it('are bounded in number and in what is known of them', async () => {
    const store = openEmbeddedStore(join(folder, 'store'));
    const options = { store, bundleDir: join(folder, 'bundles'), prepare: asItCame };
    const env = { FILL: 'x'.repeat(60_000) };
    try {
      const registry = await createRegistry(options);
      const deploy = (name: string) => registry.deploy({ name, code: '1', env });
      let made = 0;
      let refused: NemoError | undefined;
      for (; refused === undefined && made < 2_000; made++)
        refused = await deploy(`f${made}`).then(
          () => undefined,
          (error: NemoError) => error,
        );
      expect(refused?.code).to.equal('STORAGE_FULL');
      // What is there may be changed and removed; then there is room again, also after a restart.
      await deploy('f0');
      await registry.close();
      const again = await createRegistry(options);
      expect((await errorOf(again.deploy({ name: 'more', code: '1', env }))).code).to.equal('STORAGE_FULL');
      await again.remove('f0');
      await again.deploy({ name: 'more', code: '1', env });
      await again.close();
    } finally {
      await store.close();
    }
  });

  it('that are removed leave no lines: what still runs prints for nobody', () => {
    const functions = new Set(['f']);
    const book = createLogBook(undefined, (name) => functions.has(name));
    const line = { timeMs: 0, functionName: 'f', sandboxId: 's', stream: 'stdout', text: 'x' } as const;
    book.append(line);
    expect(book.read('f', 10)).to.have.length(1);
    functions.delete('f');
    book.forget('f');
    book.append(line);
    functions.add('f');
    expect(book.read('f', 10)).to.deep.equal([]);
  });

  describe('of code with a package of a stranger', () => {
    const put = (path: string, text: string) => {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    beforeEach(() => {
      put('home/.docker/config.json', '{"auths":{"r":{"auth":"SECRET"}}}');
      put('home/notes.txt', 'SECRET');
      put('app/index.js', "import e from 'evil'; import d from './own.json'; export default () => [e, d];");
      put('app/own.json', '1');
      put('app/node_modules/evil/package.json', '{"name":"evil","main":"index.js"}');
    });
    const bundled = () => bundleFunction(join(folder, 'app/index.js'));

    for (const specifier of ['/home/.docker/config.json', '/home/notes.txt'])
      for (const how of ['import x from ', 'const x = require('])
        it(`put no file of the deployer's host into it by ${how}${specifier}`, async () => {
          const code = `${how}${JSON.stringify(folder + specifier)}${how.endsWith('(') ? ')' : ''};`;
          put('app/node_modules/evil/index.js', `${code} export default x;`);
          expect((await errorOf(bundled())).code).to.equal('BAD_FUNCTION');
        });
    for (const manifest of [
      { main: '../../../home/.docker/config.json' },
      { exports: './index.js', imports: { '#x': './../../../home/.docker/config.json' } },
    ])
      it(`nor by its package.json: ${JSON.stringify(manifest)}`, async () => {
        put('app/node_modules/evil/package.json', JSON.stringify({ name: 'evil', ...manifest }));
        put('app/node_modules/evil/index.js', "import x from '#x'; export default x;");
        expect((await errorOf(bundled())).code).to.equal('BAD_FUNCTION');
      });

    const CODE_OF_OTHERS = 'export default "SECRET"';
    for (const [how, code] of [
      ['a wildcard', `export default (name) => import(\`../../../home/\${name}\`);`],
      [
        'a wildcard for one ending',
        `export default (name) => import(\`../../../home/.docker/\${name}.json\`);`,
      ],
      ['a wildcard in require', "export default (name) => require('../../../home/' + name + '.txt');"],
      [
        'a wildcard that begins in its own folder',
        `export default (name) => import(\`./../../\${name}.json\`);`,
      ],
      ['an absolute path', "import x from 'HOME/code.js'; export default x;"],
      ['a path to code', "import x from '../../../home/code.js'; export default x;"],
      [
        'a path to packages of others',
        "import x from '../../../home/node_modules/own/i.js'; export default x;",
      ],
      ['a name and a path', "import x from 'evil/../../../home/code.js'; export default x;"],
      ['a path to another package', "import x from '../other/data.json'; export default x;"],
      ['a type', "import x from '../../../home/key' with { type: 'text' }; export default x;"],
      [
        'a name and a type',
        "import x from 'evil/../../../home/key' with { type: 'bytes' }; export default x;",
      ],
      ['a link', "import x from './link.js'; export default x;"],
      ['a wildcard and a link', `export default (name) => import(\`./linked/\${name}.js\`);`],
      ['its tsconfig.json', "import x from 'alias'; export default x;"],
    ] as const)
      it(`nor by ${how}`, async () => {
        put('home/code.js', CODE_OF_OTHERS);
        put('home/key', 'SECRET');
        put('home/node_modules/own/i.js', CODE_OF_OTHERS);
        put('app/node_modules/other/package.json', '{"name":"other","exports":{}}');
        put('app/node_modules/other/data.json', '"SECRET"');
        put(
          'app/node_modules/evil/tsconfig.json',
          '{"compilerOptions":{"paths":{"alias":["../../../home/code.js"]}}}',
        );
        put('app/node_modules/evil/linked/one.js', 'export default 1;');
        symlinkSync(join(folder, 'home/code.js'), join(folder, 'app/node_modules/evil/link.js'));
        symlinkSync(join(folder, 'home/code.js'), join(folder, 'app/node_modules/evil/linked/two.js'));
        put('app/node_modules/evil/index.js', code.replace('HOME', join(folder, 'home')));
        // What a wildcard reads besides is not refused for being no code.
        const made = await bundled().then(
          ({ code: text }) => text,
          (error: NemoError) => error,
        );
        expect(made instanceof NemoError ? made.code : made).to.equal('BAD_FUNCTION');
      });

    it('nor by settings for TypeScript that the function takes from it', async () => {
      const data = { paths: { 'some-data': ['../../../home/.docker/config.json'] } };
      put('app/node_modules/evil/base.json', JSON.stringify({ compilerOptions: data }));
      put('app/tsconfig.json', '{"extends":"evil/base.json"}');
      put('app/index.js', "import x from 'some-data'; export default () => x;");
      expect((await errorOf(bundled())).code).to.equal('BAD_FUNCTION');
    });

    it('say who takes what', async () => {
      put(
        'app/node_modules/evil/index.js',
        `export default (name) => import(\`../../../home/\${name}.txt\`);`,
      );
      const { message, hint } = await errorOf(bundled());
      expect(message).to.match(/^node_modules\/evil\/index\.js imports \.\.\/\.\.\/\.\.\/home\//);
      expect(hint).to.contain('dependency');
    });

    it('take what its wildcards find in its own folder, and what the function itself names', async () => {
      put('app/node_modules/evil/index.js', 'export default (name) => require("./words/" + name + ".json");');
      put('app/node_modules/evil/words/en.json', '"a word"');
      put('app/own/de.json', '"ein Wort"');
      put('beside/notes.json', '"beside"');
      put('app/aliased/index.json', '"aliased"');
      put('app/node_modules/preact/compat/index.js', 'export default "compat";');
      put('app/package.json', '{"imports":{"#own":"./own/de.json","#evil":"evil"}}');
      put(
        'app/tsconfig.json',
        '{"compilerOptions":{"paths":{"@data/*":["./aliased/*"],"react":["./node_modules/preact/compat/index.js"]}}}',
      );
      put(
        'app/index.js',
        `import e from 'evil'; import b from '../beside/notes.json'; import a from '@data/index.json'; import r from 'react';
        import o from '#own'; import ev from '#evil';
        export default (name) => [e, b, a, r, o, ev, import(\`./own/\${name}.json\`)];`,
      );
      const { code } = await bundled();
      for (const text of ['a word', 'ein Wort', 'beside', 'aliased', 'compat']) expect(code).to.contain(text);
    });

    it('take its own files, those of its dependencies, and packages of the workspace', async () => {
      put('app/node_modules/evil/data.json', '2');
      put('app/node_modules/other/package.json', '{"name":"other","main":"d.json"}');
      put('app/node_modules/other/d.json', '3');
      put('shared/package.json', '{"name":"shared","main":"s.js"}');
      put('shared/s.js', "import x from './s.json'; export default x;");
      put('shared/s.json', '4');
      symlinkSync(join(folder, 'shared'), join(folder, 'app/node_modules/shared'));
      const names = ['./data.json', 'other', 'shared', 'data:text/plain,5'];
      const imports = names.map((name, i) => `import d${i} from '${name}';`);
      put('app/node_modules/evil/index.js', `${imports.join('')} export default [d0, d1, d2, d3];`);
      expect((await bundled()).code)
        .to.contain('2')
        .and.contain('3')
        .and.contain('4');
    });
  });
});
