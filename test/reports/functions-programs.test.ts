import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { expect } from 'chai';
import { functionRef } from '../../src/model/function-ref.js';
import type { Sandbox } from '../../src/sandbox/engine.js';
import { ask, call, errorOf, SandboxBench } from '../support/sandboxes.js';

const SHELL = '#!/bin/sh\n';

/** `/apart`: head and body come one after the other. `/never`: it waits for the caller to leave. */
const SERVER = `#!/usr/bin/perl
use IO::Socket::INET;
$| = 1;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 8, ReuseAddr => 1);
$SIG{PIPE} = 'IGNORE';
while (my $c = $server->accept) {
  my $first = <$c> or next;
  while (<$c>) { last if /^\\s*$/ }
  my ($method, $path) = split ' ', $first;
  if ($path eq '/reset') { print $c "HTTP/1.1 205 Reset Content\\r\\nContent-Length: 0\\r\\n\\r\\n"; }
  if ($path eq '/never') { my $gone = <$c>; }
  if ($path eq '/begun') { print $c "HTTP/1.1 200 OK\\r\\nContent-Length: 50\\r\\n\\r\\nbegun"; $c->flush; my $gone = <$c>; }
  if ($path eq '/apart') {
    print $c "HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\n"; $c->flush;
    select(undef, undef, undef, 0.05);
    print $c 'hello' unless $method eq 'HEAD';
  }
  close $c;
}
`;

/** A call whose caller leaves while it runs; resolves when it has ended. */
function left(sandbox: Sandbox, input: { path?: string; body?: string }): Promise<void> {
  const request = {
    ...{ callId: 'left', ref: functionRef('probe'), method: 'POST', path: '/', query: '', headers: {} },
    ...input,
    body: Buffer.from(input.body ?? ''),
  };
  return new Promise((resolve) => {
    const reply = {
      gone: false,
      ...{ onHead: () => {}, onChunk: () => {}, onEnd: resolve, onError: () => resolve() },
    };
    sandbox.invoke(request, performance.now() + 60_000, reply);
    setTimeout(() => {
      reply.gone = true;
      sandbox.callersLeft?.();
    }, 300);
  });
}

describe('a program as a function', function () {
  this.timeout(20_000);
  const bench = new SandboxBench();
  const program = (code: string, more = {}) => bench.run(code, { variant: 'exec', ending: 'bin', ...more });
  const text = async (...of: Parameters<typeof call>) => (await call(...of)).body.toString();
  after(() => bench.close());

  /** `X_Name` of the caller's came in the place of the `X-Name` that a proxy in front had set. */
  it('is told no header whose name stands for another', async () => {
    const sandbox = await program(`${SHELL}env | grep ^HTTP_ | sort`);
    const headers = {
      ...{ 'x-user': 'alice', x_user: 'root', 'x.user': 'root', 'x user': 'root', 'x-größe': '1' },
      ...{ content_type: 'text/html', 'x-b3-traceid': '7', proxy: 'http://evil' },
    };
    expect(await text(sandbox, { headers })).to.equal('HTTP_X_B3_TRACEID=7\nHTTP_X_USER=alice\n');
  });

  /** The length was told as HTTP_CONTENT_LENGTH, where no program looks for it. */
  it('is told the length of its body as CGI does', async () => {
    const sandbox = await program(`${SHELL}env | grep CONTENT_ | sort`);
    const headers = { 'content-type': 'text/plain', 'content-length': '99' };
    expect(await text(sandbox, { headers, body: 'four' })).to.equal(
      'CONTENT_LENGTH=4\nCONTENT_TYPE=text/plain\n',
    );
    expect(await text(sandbox, { headers })).to.equal('CONTENT_TYPE=text/plain\n');
  });

  /** Every second call failed: it was to use a pipe that was no longer there. */
  it('may empty /tmp, or put something else there', async () => {
    for (const wipe of ['find /tmp -mindepth 1 -delete', 'for f in /tmp/.o*; do rm $f; echo no >$f; done']) {
      const sandbox = await program(`${SHELL}${wipe}; echo done`);
      for (let i = 0; i < 4; i++) expect(await text(sandbox), wipe).to.equal('done\n');
    }
  });

  /** It ran on, for nobody, and its sandbox took no other call. */
  it('ends when its caller leaves', async () => {
    const sandbox = await program(`${SHELL}read -r s; sleep "$s"; echo done`);
    await left(sandbox, { body: '60\n' });
    expect(await text(sandbox, { body: '0\n' })).to.equal('done\n');
  });

  describe('that is a server', () => {
    const run = () => program(SERVER, { ending: 'srv' });

    it('tells the length of its answers', async () => {
      const sandbox = await run();
      const whole = await call(sandbox, { path: '/apart' });
      expect([whole.headers['content-length'], whole.body.toString()]).to.deep.equal(['5', 'hello']);
      const head = await call(sandbox, { method: 'HEAD', path: '/apart' });
      expect([head.headers['content-length'], head.body.length]).to.deep.equal(['5', 0]);
    });

    it('answers with 205', async () => {
      const answer = await call(await run(), { path: '/reset' });
      expect([answer.status, answer.body.length]).to.deep.equal([205, 0]);
    });

    it('sees that a caller has left, before and within an answer', async () => {
      const sandbox = await run();
      for (const path of ['/never', '/begun']) {
        await left(sandbox, { path });
        expect((await call(sandbox, { path: '/apart' })).body.toString(), path).to.equal('hello');
      }
    });
  });

  describe('leaves something behind', () => {
    /** It held the call until its timeout, since it held the pipe. */
    it('that has its output open: the call ends', async () => {
      const sandbox = await program(`${SHELL}sleep 60 & echo done`);
      expect(await text(sandbox)).to.equal('done\n');
    });

    /** They piled up until fork was refused: 53 calls went well, the next 97 failed. */
    it('that has none: it ends with the call', async () => {
      const sandbox = await program(
        `${SHELL}sleep 60 >/dev/null 2>&1 & setsid -f sleep 61 >/dev/null 2>&1; echo done`,
        { pidsMax: 24 },
      );
      for (let i = 0; i < 16; i++) expect(await text(sandbox)).to.equal('done\n');
    });

    it('that still writes its answer: the answer is whole', async () => {
      const sandbox = await program('#!/bin/bash\nexec > >(sed s/a/b/)\necho banana');
      expect(await text(sandbox)).to.equal('bbnana\n');
    });

    it('while another call runs: only what is its own ends', async () => {
      const sandbox = await program(
        `${SHELL}read -r what; if [ "$what" = long ]; then sleep 0.4 & wait $!; echo "$?"; else sleep 60 >/dev/null 2>&1 & echo short; fi`,
        { concurrency: 2 },
      );
      const long = text(sandbox, { callId: 'same', body: 'long\n' });
      expect(await text(sandbox, { callId: 'same', body: 'short\n' })).to.equal('short\n');
      expect(await long).to.equal('0\n');
    });
  });

  describe('begins with a line that', () => {
    const prepare = async (content: string | Buffer) =>
      (await bench.engine()).prepare({
        functionName: 'probe',
        content: Buffer.from(content),
        filename: 'probe',
        exec: 'stdio',
      });
    const answerOf = async (code: string) => {
      const { content } = await prepare(code);
      return text(await bench.run(content, { variant: 'exec', ending: 'bin' }));
    };
    const OWN_FOLDER = '/usr/local/bin';
    const ours = ['elsewhere', 'closed', 'script'].map(
      (name) => `${OWN_FOLDER}/nemo-test-${name}-${process.pid}`,
    );
    const [elsewhere, closed, script] = ours as [string, string, string];
    before(() => {
      mkdirSync(OWN_FOLDER, { recursive: true });
      writeFileSync(`${bench.directory}/program`, SHELL, { mode: 0o755 });
      symlinkSync(`${bench.directory}/program`, elsewhere);
      writeFileSync(closed, SHELL);
      chmodSync(closed, 0o700);
      writeFileSync(script, '#!/opt/no/such\n', { mode: 0o755 });
      chmodSync(script, 0o755);
    });
    after(() => {
      for (const path of ours) rmSync(path, { force: true });
    });

    for (const [what, code, answer] of [
      ['splits a string for env', '#!/usr/bin/env -S perl -w\nprint "yes";', 'yes'],
      ['sets the environment', '#!/usr/bin/env -S LANG=C A="b c" sh -e\necho "$LANG $A"', 'C b c\n'],
      ['has a blank after the marker', '#! /bin/sh\necho yes', 'yes\n'],
      ['ends as on Windows', '#!/usr/bin/env perl\r\nprint "yes";\r\n', 'yes'],
      ['ends as on Windows, for a shell', '#!/bin/sh\r\nset -e\r\necho yes\r\n', 'yes\n'],
    ] as const) {
      it(`${what}: it runs`, async () => {
        expect(await answerOf(code)).to.equal(answer);
      });
    }

    for (const [what, code, says] of [
      ['gives env several words', '#!/usr/bin/env perl -w\n', /env -S/],
      ['names what lies outside of /usr', `#!${elsewhere}\n`, /sandbox/],
      ['names what only root may run', `#!${closed}\n`, /sandbox/],
      ['names a script whose own interpreter is not there', `#!${script}\n`, /\/opt\/no\/such/],
      ['names nothing', '#!\n', /interpreter/],
      ['names a program without its folder', '#!python3\n', /begin it with #!\/usr\/bin\/env python3$/],
      ['names one with a word for it', '#!bash -e\n', /begin it with #!\/usr\/bin\/env -S bash -e$/],
      ['names an env that is not there', '#!/usr/no/env sh\n', /not installed/],
      ['names a folder', '#!/usr/bin\n', /not a program/],
      ['gives env nothing to run', '#!/usr/bin/env A=b\n', /names no program for env/],
      ['gives env nothing at all', '#!/usr/bin/env\n', /names no program for env/],
    ] as const) {
      it(`${what}: the deploy says so`, async () => {
        const error = await errorOf(prepare(code));
        expect([error.code, error.message + error.hint]).to.satisfy(
          ([code, told]: string[]) => code === 'BAD_FUNCTION' && says.test(told!),
        );
      });
    }

    it('is none, of a program whose loader is not here: the deploy says so', async () => {
      const elf = Buffer.alloc(256);
      elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
      elf.writeUInt16LE(process.arch === 'arm64' ? 183 : 62, 18);
      elf.writeBigUInt64LE(64n, 32);
      elf.writeUInt16LE(56, 54);
      elf.writeUInt16LE(1, 56);
      elf.writeUInt32LE(3, 64);
      elf.writeBigUInt64LE(128n, 72);
      const loader = '/lib/ld-musl-no-such.so.1\0';
      elf.writeBigUInt64LE(BigInt(loader.length), 96);
      elf.write(loader, 128);
      const error = await errorOf(prepare(elf));
      expect(error.code).to.equal('BAD_FUNCTION');
      expect(error.message).to.contain('/lib/ld-musl-no-such.so.1');
    });
  });

  it('of JavaScript keeps its children, in its sandbox', async () => {
    const sandbox = await bench.run(
      `import { spawn } from 'node:child_process';
       let child;
       export default () => {
         child ??= spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
         return { alive: child.exitCode === null && child.signalCode === null, pid: child.pid };
       };`,
    );
    const first = (await ask(sandbox)) as { alive: boolean; pid: number };
    expect(await ask(sandbox)).to.deep.equal(first);
    expect(first.alive).to.equal(true);
  });
});
