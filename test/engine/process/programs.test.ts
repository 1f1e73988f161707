import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { ask, call, errorOf, SandboxBench } from '../../support/sandboxes.js';
import { HTTP, programOf, STDIO } from '../../support/sources.js';

const SHELL = '#!/bin/sh\n';
/** One connection after the other; perl is part of every Debian. */
const SERVER = `#!/usr/bin/perl
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ENV{PORT}, Listen => 8) or die;
my $calls = 0;
while (my $client = $server->accept) {
  my ($first, $length) = (scalar(<$client>), 0);
  while (my $line = <$client>) { last if $line =~ /^\\r?$/; $length = $1 if $line =~ /^content-length: (\\d+)/i; }
  read($client, my $body, $length);
  next unless $first;
  $calls++;
  my $text = "$calls " . (split / /, $first)[1] . " $body";
  print $client "HTTP/1.1 201 Made\\r\\nX-Kind: perl\\r\\nContent-Length: " . length($text) . "\\r\\nConnection: close\\r\\n\\r\\n$text";
  close $client;
}
`;

describe('a program as a function', () => {
  const bench = new SandboxBench();
  const run = (code: string | Buffer, source = STDIO, more = {}) =>
    bench.run(code, { variant: 'exec', source, ...more });
  after(() => bench.close());

  it('gets the body on stdin and the request in its environment, and answers on stdout', async () => {
    const sandbox = await run(`${SHELL}echo "$REQUEST_METHOD $PATH_INFO $QUERY_STRING $LEVEL"; cat`, STDIO, {
      env: { LEVEL: 'debug' },
    });
    const answer = await call(sandbox, { method: 'PUT', path: '/a', query: 'b=1', body: 'the body' });
    expect(answer.body.toString()).to.equal('PUT /a b=1 debug\nthe body');
    const large = 'x'.repeat(300_000);
    expect((await call(sandbox, { body: large })).body.toString()).to.contain(large);
  });

  it('fails with its exit code, and says on stderr why', async () => {
    const sandbox = await run(`${SHELL}echo broken >&2; exit 3`);
    const error = await errorOf(call(sandbox));
    expect([error.code, error.message]).to.deep.equal([
      'FUNCTION_ERROR',
      'probe threw Error: the program ended with exit code 3',
    ]);
    expect(bench.logs.map(({ text }) => text)).to.include('broken');
  });

  it('may be a server that stays', async () => {
    const sandbox = await run(SERVER, HTTP);
    for (const n of [1, 2]) {
      const answer = await call(sandbox, { path: '/x', query: 'y=1', body: 'hi' });
      expect([answer.status, answer.headers['x-kind'], answer.body.toString()]).to.deep.equal([
        201,
        'perl',
        `${n} /x?y=1 hi`,
      ]);
    }
  });

  it('sees the programs of the host, and none of its secrets', async () => {
    const sandbox = await run(
      `${SHELL}for path in /etc/shadow /root /var/lib /home /run; do [ -e $path ] && echo "$path"; done; ls /usr/bin | wc -l; touch /usr/x 2>&1 | grep -c Read-only`,
    );
    const lines = (await call(sandbox)).body.toString().trim().split('\n');
    expect(lines).to.have.length(2);
    expect(Number(lines[0])).to.be.greaterThan(50);
    expect(lines[1]).to.equal('1');
  });

  it('says at deploy what cannot be run', async () => {
    const engine = await bench.engine();
    const wrong = (content: Buffer) =>
      errorOf(engine.prepare({ functionName: 'f', source: programOf(content) }));
    const foreign = Buffer.from(readFileSync(process.execPath).subarray(0, 64));
    foreign.writeUInt16LE(8, 18);
    for (const [content, says] of [
      [Buffer.from('print("no")'), /neither an ELF program nor a script/],
      [Buffer.from('#!/usr/bin/no-such-thing -x\n'), /interpreter '\/usr\/bin\/no-such-thing -x'/],
      [foreign, /another processor/],
    ] as const) {
      const error = await wrong(content);
      expect([error.code, says.test(error.message)], error.message).to.deep.equal(['BAD_FUNCTION', true]);
    }
    const content = Buffer.from(`${SHELL}true`);
    expect(await engine.prepare({ functionName: 'f', source: programOf(content, 'http') })).to.deep.equal(
      content,
    );
  });

  it('leaves JavaScript functions without the host’s programs', async () => {
    const sandbox = await bench.run(
      `import { existsSync } from 'node:fs'; export default () => existsSync('/bin/sh')`,
    );
    expect(await ask(sandbox)).to.equal(false);
  });
});
