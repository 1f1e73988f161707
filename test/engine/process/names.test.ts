/** Names are found in /etc/hosts, without UDP: what needs it is told at once that there is none. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { HOSTS_NAME, launchCommand } from '../../../src/confinement/launch.js';
import { makeOpenDirectory, prepareRuntime } from '../../../src/confinement/runtime.js';
import type { Confinement } from '../../../src/confinement/seccomp/rules.js';
import { execFile } from '../../../src/linux/spawn.js';
import { SANDBOX } from '../../../src/tunables/index.js';
import { ask, SandboxBench } from '../../support/sandboxes.js';

describe('names in a sandbox', () => {
  describe('asked for by node', () => {
    let bench: SandboxBench;
    before(() => {
      bench = new SandboxBench();
    });
    after(() => bench.close());

    it('are found, as a connection asks for them; name servers and datagrams are refused at once', async () => {
      const code = `import { ADDRCONFIG, Resolver } from 'node:dns';
        import { lookup } from 'node:dns/promises';
        import { createSocket } from 'node:dgram';
        const codeOf = (work) => new Promise((done) => work((error) => done(error?.code ?? 'worked')));
        export default async () => ({
          found: (await lookup('names.test', { all: true, hints: ADDRCONFIG })).length,
          resolved: await codeOf((done) => new Resolver().resolve4('names.test', done)),
          sent: await codeOf((done) => createSocket('udp4').on('error', done).send('x', 9, '127.0.0.1', done)),
          bound: await codeOf((done) => createSocket('udp6').on('error', done).bind(0, done)),
        });`;
      const sandbox = await bench.run(code, { egress: ['names.test:80'] });
      expect(await ask(sandbox)).to.deep.equal({
        ...{ found: 1, resolved: 'ECONNREFUSED', sent: 'EACCES', bound: 'EACCES' },
      });
    });
  });

  describe('asked for by a program that is linked with musl', () => {
    const folder = mkdtempSync('/var/tmp/nemo-test-names-');
    const program = join(folder, 'names');
    before(function () {
      try {
        execFileSync('musl-gcc', ['--version'], { stdio: 'ignore' });
      } catch {
        return this.skip();
      }
      makeOpenDirectory(folder);
      writeFileSync(join(folder, 'names.c'), ASKS);
      execFileSync('musl-gcc', ['-static', '-o', program, join(folder, 'names.c')]);
    });
    after(() => rmSync(folder, { recursive: true }));

    const run = async (confinement: Confinement): Promise<string> => {
      const directory = join(folder, 'function');
      makeOpenDirectory(directory);
      writeFileSync(join(directory, HOSTS_NAME), '127.0.0.7 names.test\n');
      const shared = prepareRuntime(join(folder, confinement), undefined, confinement);
      const runtime = { ...shared, binds: [[program, '/names'] as const] };
      const [shell, ...args] = launchCommand(
        { uid: SANDBOX.firstUid, joinPaths: [], scheduling: 'default', directory, runtime },
        ['/names', 'names.test'],
      );
      return String((await execFile(shell!, args)).stdout).trim();
    };

    it('are found, in a container also where it asks whether there is IPv4', async () => {
      expect(await run('processes')).to.equal('any: 127.0.0.7, configured: none');
      expect(await run('containers')).to.equal('any: 127.0.0.7, configured: 127.0.0.7');
    });
  });
});

const ASKS = `
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
static void look(const char *name, int flags) {
  struct addrinfo *found, hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM};
  if (getaddrinfo(name, "80", &hints, &found) != 0) printf("none");
  else printf("%s", inet_ntoa(((struct sockaddr_in *)found->ai_addr)->sin_addr));
}
int main(int count, char **args) {
  printf("any: ");
  look(args[1], 0);
  printf(", configured: ");
  look(args[1], AI_ADDRCONFIG);
  printf("\\n");
  return 0;
}
`;
