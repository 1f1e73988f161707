import { expect } from 'chai';
import { packagePath } from '../../src/bundle/pack.js';
import { getScheduling } from '../../src/linux/sched.js';
import type { Sandbox } from '../../src/sandbox/engine.js';
import { SANDBOX } from '../../src/tunables/index.js';
import { attempt, EVALUATOR, itHoldsAgainstEscapes, pidsBelow } from '../support/escapes.js';
import { SandboxBench } from '../support/sandboxes.js';

describe('a function that tries to get out', () => {
  const bench = new SandboxBench();
  after(() => bench.close());

  // From a stem that has imported a package: no less holds for it.
  const own = bench.store({
    name: 'own@1',
    entries: ['own.mjs'],
    files: { 'own.mjs': 'export const own = 1;' },
  });
  const ownPath = packagePath(own.hash, 'own.mjs');
  itHoldsAgainstEscapes({
    async run({ group: _, ...options } = {}) {
      const sandbox = await bench.start({ packages: [own] });
      await bench.load(sandbox, `import '${ownPath}';${EVALUATOR}`, { packages: [own], ...options });
      return sandbox;
    },
    codePaths: ['/function/function.mjs', ownPath, '/runner/main.js', '/usr/bin/node'],
    native: true,
    uids: [SANDBOX.firstUid, SANDBOX.uidCount],
  });

  describe('of its root and its descriptors', () => {
    let sandbox: Sandbox;
    const list = async (path: string) =>
      (await attempt(sandbox, `return require('fs').readdirSync('${path}')`)).value as string[];
    before(async () => {
      sandbox = await bench.run(EVALUATOR);
    });

    it('sees what it needs and nothing else', async () => {
      const root = ['dev', 'etc', 'function', 'lib', 'lib64', 'proc', 'runner', 'tmp', 'usr', 'var'];
      expect((await list('/')).sort()).to.deep.equal(root);
      expect(await list('/usr/bin')).to.deep.equal(['node']);
      expect(await list('/function')).to.have.members(['function.mjs', 'group', 'hosts', 'passwd']);
      // Of its own, none of the host's.
      const etc = [
        'group',
        'hostname',
        'hosts',
        'localtime',
        'mtab',
        'nsswitch.conf',
        'passwd',
        'resolv.conf',
      ];
      expect(await list('/etc')).to.have.members(etc);
      const hosts = await attempt(sandbox, `return require('fs').readFileSync('/etc/hosts', 'utf8')`);
      expect(hosts).to.deep.equal({ value: '127.0.0.1 localhost sandbox\n::1 localhost\n' });
      const users = await attempt(sandbox, `return require('fs').readFileSync('/etc/passwd', 'utf8')`);
      expect((users.value as string).match(/^\w+/gm)).to.deep.equal(['root', 'function']);
    });

    it('has no way to the agent open but its own', async () => {
      const fs = `const fs = require('fs');`;
      const links = `fs.readdirSync('/proc/self/fd').flatMap((fd) => { try { return [fs.readlinkSync('/proc/self/fd/' + fd)] } catch { return [] } })`;
      const open = (await attempt(sandbox, `${fs} return ${links}`)).value as string[];
      const paths = open.filter((target) => target.startsWith('/'));
      expect(paths.filter((path) => path !== '/dev/null' && !path.startsWith('/proc/'))).to.deep.equal([]);
      // Through a socket it would get open files, and would have to close them.
      expect(open.filter((target) => target.startsWith('socket:'))).to.deep.equal([]);
    });
  });

  it('cannot raise its scheduling, whatever it asks for', async () => {
    const idle = await bench.start({ scheduling: 'idle' });
    await bench.load(idle, EVALUATOR);
    for (const nice of [-1, 0, 1]) {
      const tried = await attempt(idle, `require('os').setPriority(${nice}); return 'changed'`);
      expect(tried.error, `nice ${nice}`).to.be.oneOf(['ERR_SYSTEM_ERROR', 'EPERM', 'EACCES']);
    }
    const child = `return require('child_process').execFileSync(process.execPath, ['-e', 'require("os").setPriority(-5)'], { stdio: 'ignore' })`;
    expect(await attempt(idle, child)).to.have.property('error');
    for (const pid of pidsBelow(idle)) expect(getScheduling(pid).policy).to.equal('idle');
  });
});
