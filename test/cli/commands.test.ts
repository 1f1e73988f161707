import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { freePort } from '../store/redis-server.js';
import { later } from '../support/waiting.js';

const CHILD = fileURLToPath(new URL('./command-child.js', import.meta.url));
const COMMANDS = ['deploy', 'invoke', 'ls', 'describe', 'rm', 'logs', 'trace', 'top'];

interface Result {
  code: number | null;
  out: Buffer;
  err: string;
  error: { code: string; message: string; hint?: string } | undefined;
}

describe('commands that talk to an agent', function () {
  this.timeout(20_000);
  let box: TestBox;
  let directory: string;
  const start = (args: string[], agent = box.gateway.url): ChildProcess =>
    spawn(process.execPath, [CHILD, ...args], {
      env: { ...process.env, NEMO_AGENT: agent, GIVEN: 'from here' },
    });
  const run = async (args: string[], stdin: string | Buffer = '', agent?: string): Promise<Result> => {
    const child = start(args, agent);
    const chunks: Buffer[] = [];
    let err = '';
    child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr!.on('data', (chunk) => {
      err += chunk;
    });
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(stdin);
    const [code] = await once(child, 'close');
    const error = err.startsWith('{') ? JSON.parse(err).error : undefined;
    return { code, out: Buffer.concat(chunks), err, error };
  };

  before(async () => {
    box = await startBox();
    directory = await mkdtemp(join(tmpdir(), 'nemo-cli-'));
    await box.serve('echo', echo);
    await box.serve('missing-page', (_call, sink, timeline) => {
      sink.onHead(404, {});
      sink.onChunk(Buffer.from('no such page'));
      sink.onEnd(timeline);
    });
    await box.serve('failing', (_call, sink, timeline) =>
      sink.onError(new NemoError('FUNCTION_ERROR', 'boom', { hint: 'see the logs' }), timeline),
    );
  });
  after(async () => {
    await box.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('all have help with an example', async () => {
    for (const result of await Promise.all(COMMANDS.map((name) => run([name, '--help'])))) {
      expect(result.code).to.equal(0);
      expect(result.out.toString())
        .to.match(/Example:\n {2}nemo \w/)
        .and.contain('--agent')
        .and.contain('--json');
    }
  });

  it('all say that nobody answers, and what to do', async () => {
    const agent = `http://127.0.0.1:${await freePort()}`;
    const file = join(directory, 'nobody.ts');
    await writeFile(file, 'export default () => 1;');
    const lines = COMMANDS.map((name) => [
      name,
      ...(name === 'deploy' ? [file] : /ls|top/.test(name) ? [] : ['x']),
    ]);
    for (const result of await Promise.all(lines.map((line) => run(line, '', agent)))) {
      expect(result.error, result.err).to.include({ code: 'AGENT_UNREACHABLE' });
      expect(result.error!.message).to.contain(agent).and.contain('ECONNREFUSED');
      expect(result.error!.hint).to.contain('nemo up');
      expect(result.code).to.equal(1);
    }
  });

  it('say that what answers is not an agent', async () => {
    const other = createServer((_request, response) => response.writeHead(404).end('<html>')).listen(
      0,
      '127.0.0.1',
    );
    await once(other, 'listening');
    const agent = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const results = [
      await run(['ls'], '', agent),
      await run(['invoke', 'x'], '', agent),
      await run(['top'], '', agent),
    ];
    other.close();
    for (const { error } of results) expect(error).to.include({ code: 'AGENT_UNREACHABLE' });
  });

  it('refuse an address that is none', async () => {
    expect((await run(['ls', '--agent', 'ftp://x'])).error).to.include({ code: 'BAD_REQUEST' });
    expect((await run(['ls', '--agent', 'http://'])).error).to.include({ code: 'BAD_REQUEST' });
  });

  it('engines lists each, and why one does not work here', async () => {
    const { out } = await run(['engines']);
    expect(out.toString()).to.match(/^process +ok +a process tree/m);
    expect(out.toString()).to.match(/^wasm: no such thing\n {2}way out: get one$/m);
    const { engines } = JSON.parse((await run(['engines', '--json'])).out.toString());
    expect(engines).to.have.length(2);
  });

  describe('deploy', () => {
    it('bundles a TypeScript file with what it imports, named after the file', async () => {
      await writeFile(join(directory, 'helper.ts'), 'export const answer: number = 42;');
      await writeFile(
        join(directory, 'Resize.ts'),
        "import { answer } from './helper.js';\nexport default async (): Promise<number> => answer;",
      );
      const limits = [
        '--memory',
        '256Mi',
        '--timeout',
        '5s',
        '--concurrency',
        '3',
        '--env',
        'A=b=c',
        '--env',
        'GIVEN',
        '--engine',
        'wasm',
        '--sharing-group',
        'me',
      ];
      const result = await run(['deploy', join(directory, 'Resize.ts'), ...limits]);
      expect(result.code, result.err).to.equal(0);
      expect(result.out.toString())
        .to.match(/^deployed resize .*256Mi.*5s/)
        .and.contain('/function/resize');
      const spec = box.platform.registry.get('resize')!;
      expect(spec).to.include({
        memoryBytes: 256 * 2 ** 20,
        timeoutMs: 5_000,
        concurrency: 3,
        engine: 'wasm',
      });
      expect(spec.sharingGroup).to.equal('me');
      expect(spec.env).to.deep.equal({ A: 'b=c', GIVEN: 'from here' });
      expect((await run(['deploy', join(directory, 'Resize.ts')])).out.toString()).to.match(
        /^updated resize/,
      );
      const module = await import(box.platform.registry.bundlePath(box.platform.registry.get('resize')!));
      expect(await module.default()).to.equal(42);
    });

    it('takes a folder, named after its package', async () => {
      const folder = join(directory, 'folder');
      await mkdir(folder);
      await writeFile(
        join(folder, 'package.json'),
        '{"name": "@team/thumb", "main": "main.js", "type": "module"}',
      );
      await writeFile(join(folder, 'main.js'), 'export default { fetch: () => new Response("hi") };');
      const result = await run(['deploy', folder, '--schedule', '0 * * * *', '--json']);
      expect(result.code, result.err).to.equal(0);
      expect(JSON.parse(result.out.toString())).to.include({ name: 'thumb', schedule: '0 * * * *' });
    });

    it('says what is wrong: no file, bad code, bad limits, no such variable', async () => {
      const file = join(directory, 'ok.js');
      await writeFile(file, 'export default () => 1;');
      const broken = join(directory, 'broken.ts');
      await writeFile(broken, 'export default () => {\n  const = 5;\n};');
      const results = await Promise.all([
        run(['deploy', join(directory, 'nothing.ts')]),
        run(['deploy', broken]),
        run(['deploy', file, '--memory', '1Kb']),
        run(['deploy', file, '--concurrency', 'many']),
        run(['deploy', file, '--env', 'NOT_SET_ANYWHERE']),
        run(['deploy', file, '--name', 'Not A Name']),
      ]);
      expect(results.map(({ error }) => error?.code)).to.deep.equal([
        'NOT_FOUND',
        'BAD_FUNCTION',
        'BAD_REQUEST',
        'BAD_REQUEST',
        'BAD_REQUEST',
        'BAD_REQUEST',
      ]);
      expect(results[1]!.error!.message).to.contain('broken.ts:2:');
      for (const { code, error } of results) {
        expect(code).to.equal(1);
        expect(error!.message.length).to.be.greaterThan(10);
      }
      expect(box.platform.registry.get('ok')).to.equal(undefined);
    });
  });

  describe('invoke', () => {
    it('prints the answer as it is, from --data or stdin', async () => {
      expect((await run(['invoke', 'echo', '-d', 'hällo'])).out.toString()).to.equal('hällo');
      const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 256));
      const result = await run(['invoke', 'echo', '-d', '-'], bytes);
      expect(result.out.equals(bytes)).to.equal(true);
      expect(result.code).to.equal(0);
    });

    it('passes method, path and headers, and tells all with --json', async () => {
      let seen = '';
      await box.serve('spy', (call, sink, timeline) => {
        seen = `${call.method} ${call.path}?${call.query} ${call.headers['x-a']}`;
        sink.onHead(200, {});
        sink.onChunk(Buffer.from('ok'));
        sink.onEnd(timeline);
      });
      const args = ['-X', 'put', '--path', 'a/b?c=d', '-H', 'X-A: 1:2', '--json'];
      const result = await run(['invoke', 'spy', ...args]);
      expect(seen).to.equal('PUT /a/b?c=d 1:2');
      expect(JSON.parse(result.out.toString())).to.include({ status: 200, start: 'warm', body: 'ok' });
      expect((await run(['invoke', 'spy'])).code).to.equal(0);
      expect(seen).to.match(/^GET \/\?/);
      expect((await run(['invoke', 'spy', '--path', 'ü b%20c?q=→&r=1'])).code).to.equal(0);
      expect(seen).to.match(/^GET \/%C3%BC%20b%20c\?q=%E2%86%92&r=1 /);
    });

    it('sends JSON as JSON unless it is told another type, and everything else as it is', async () => {
      const types: Array<string | undefined> = [];
      await box.serve('types', (call, sink, timeline) => {
        types.push(call.headers['content-type']);
        sink.onHead(200, {});
        sink.onEnd(timeline);
      });
      await run(['invoke', 'types', '-d', '{"name": "edge"}']);
      await run(['invoke', 'types', '-d', '-'], ' [1]\n');
      await run(['invoke', 'types', '-d', '{"name": "edge"}', '-H', 'Content-Type: text/plain']);
      for (const text of ['edge', '5', '{name', '']) await run(['invoke', 'types', '-d', text]);
      expect(types.slice(0, 3)).to.deep.equal(['application/json', 'application/json', 'text/plain']);
      expect(types.slice(3)).to.deep.equal([undefined, undefined, undefined, undefined]);
    });

    it('refuses what cannot be sent', async () => {
      for (const args of [
        ['-H', 'nonsense'],
        ['-H', 'a name: x'],
        ['-H', 'x: →'],
        ['-X', 'GET IT'],
      ]) {
        const { code, error } = await run(['invoke', 'echo', ...args]);
        expect([code, error?.code], args.join(' ')).to.deep.equal([1, 'BAD_REQUEST']);
      }
    });

    it('says that an answer broke off, also with --json', async () => {
      await box.serve('half', (_call, sink) => {
        sink.onHead(200, {});
        sink.onChunk(Buffer.from('half'));
        // The head goes out a turn later; only then is there an answer that can break off.
        later(50, () => sink.onError(new NemoError('FUNCTION_ERROR', 'boom'), undefined));
      });
      const plain = await run(['invoke', 'half']);
      expect(plain.out.toString()).to.equal('half');
      for (const { code, error } of [plain, await run(['invoke', 'half', '--json'])]) {
        expect([code, error?.code]).to.deep.equal([2, 'FUNCTION_ERROR']);
        expect(error!.message).to.contain('broke off');
      }
    });

    it('prints a function’s own 404 and exits with 1; the platform’s errors are errors', async () => {
      const own = await run(['invoke', 'missing-page']);
      expect(own.out.toString()).to.equal('no such page');
      expect(own.code).to.equal(1);
      const unknown = await run(['invoke', 'nobody']);
      expect(unknown.error).to.include({ code: 'NOT_FOUND' });
      expect(unknown.code).to.equal(1);
      const failing = await run(['invoke', 'failing']);
      expect(failing.error).to.deep.equal({ code: 'FUNCTION_ERROR', message: 'boom', hint: 'see the logs' });
      expect(failing.code).to.equal(2);
    });
  });

  it('ls, describe and rm show, tell and remove', async () => {
    await box.platform.registry.deploy({
      name: 'resize',
      code: 'export default 1',
      env: { TOKEN: 'hunter2' },
    });
    const list = await run(['ls']);
    expect(list.out.toString())
      .to.match(/^NAME +ENGINE +MEMORY/)
      .and.match(/^resize +process +128Mi +30s/m);
    expect(JSON.parse((await run(['ls', '--json'])).out.toString()).functions).to.be.an('array');
    const described = await run(['describe', 'resize']);
    expect(described.out.toString())
      .to.match(/environment +TOKEN/)
      .and.contain('12345 answered')
      .and.contain('sb-7  busy')
      .and.not.contain('hunter2');
    expect(JSON.parse((await run(['describe', 'resize', '--json'])).out.toString()).now.name).to.equal(
      'resize',
    );
    expect((await run(['describe', 'nobody'])).error).to.include({ code: 'NOT_FOUND' });
    expect((await run(['rm', 'resize'])).out.toString()).to.equal('removed resize\n');
    expect(box.platform.registry.get('resize')).to.equal(undefined);
    expect((await run(['rm', 'resize'])).error).to.include({ code: 'NOT_FOUND' });
  });

  it('ls says how to begin when there is nothing', async () => {
    const empty = await startBox();
    const result = await run(['ls'], '', empty.gateway.url);
    await empty.close();
    expect(result.out.toString()).to.contain('nemo deploy');
  });

  it('logs prints the last lines, follows with -f, and ends when the function is removed', async () => {
    await box.serve('chatty', echo);
    const print = (text: string, stream: 'stdout' | 'stderr' = 'stdout') =>
      box.platform.logs.append({ timeMs: 5, functionName: 'chatty', sandboxId: 'sb-1', stream, text });
    for (let i = 0; i < 5; i++) print(`line ${i}`);
    print('oops', 'stderr');
    const tail = await run(['logs', 'chatty', '--tail', '2']);
    expect(tail.out.toString()).to.equal('00:00:00.005 sb-1 line 4\n00:00:00.005 sb-1 ! oops\n');
    expect((await run(['logs', 'chatty', '--tail', 'x'])).error).to.include({ code: 'BAD_REQUEST' });
    expect((await run(['logs', 'nobody'])).error).to.include({ code: 'NOT_FOUND' });
    const following = start(['logs', 'chatty', '-f', '--tail', '1', '--json']);
    const lines = createInterface({ input: following.stdout! });
    const exited = once(following, 'exit');
    expect(JSON.parse((await once(lines, 'line'))[0]).text).to.equal('oops');
    print('news');
    expect(JSON.parse((await once(lines, 'line'))[0]).text).to.equal('news');
    await box.platform.registry.remove('chatty');
    expect((await exited)[0]).to.equal(0);
  });

  it('top shows one picture or one frame with --once, plain where it is no terminal', async () => {
    const picture = await run(['top', '--once']);
    expect(picture.code, picture.err).to.equal(0);
    expect(picture.out.toString()).to.contain('firewall-812').and.not.contain('\x1b');
    const frame = JSON.parse((await run(['top', '--once', '--json'])).out.toString());
    expect(frame.schema).to.equal('nemo.feed/1');
  });

  it('top --json gives every frame as a line until the agent goes away', async () => {
    const leaving = await startBox();
    const watching = start(['top', '--json'], leaving.gateway.url);
    let err = '';
    watching.stderr!.on('data', (chunk) => {
      err += chunk;
    });
    const exited = once(watching, 'close');
    const lines = createInterface({ input: watching.stdout! });
    const first = JSON.parse((await once(lines, 'line'))[0]);
    leaving.nextFrame();
    expect(JSON.parse((await once(lines, 'line'))[0]).seq).to.equal(first.seq + 1);
    await leaving.close();
    expect((await exited)[0]).to.equal(1);
    expect(err).to.contain('AGENT_UNREACHABLE');
  });

  it('top in a terminal redraws in place, heals after the agent came back, and leaves the screen clean', async () => {
    const port = await freePort();
    const first = await startBox({ port });
    const command = `${process.execPath} ${CHILD} top --agent ${first.gateway.url}`;
    // script(1) gives the command a real terminal.
    const terminal = spawn('script', ['-qefc', `stty cols 100 rows 40; exec ${command}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(terminal, 'exit');
    let screen = '';
    let onText: () => void = () => {};
    terminal.stdout.on('data', (chunk) => {
      screen += chunk;
      onText();
    });
    const shows = (text: string): Promise<void> =>
      new Promise((resolve) => {
        onText = () => {
          if (screen.includes(text)) resolve();
        };
        onText();
      });
    await shows('firewall-812');
    expect(screen).to.contain('\x1b[?1049h').and.contain('\x1b[34m█');
    await first.close();
    await shows('the agent does not answer');
    screen = '';
    const second = await startBox({ port });
    await shows('firewall-812');
    terminal.stdin.write('\x03');
    expect((await exited)[0]).to.equal(0);
    expect(screen.endsWith('\x1b[?25h\x1b[?1049l')).to.equal(true);
    await second.close();
  });
});
