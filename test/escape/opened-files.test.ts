import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  fstatSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { prepareProgram } from '../../src/engine/process/programs.js';
import { StorageQuota } from '../../src/host/storage-quota.js';
import { openBeneath } from '../../src/linux/open-beneath.js';
import { endProcess, spawnTied } from '../../src/linux/tied-process.js';
import type { NemoError } from '../../src/model/errors.js';
import { ImageUploads } from '../../src/provision/image-uploads.js';
import { UPLOAD } from '../../src/tunables/index.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { ImageImports } from '../support/image-imports.js';
import { dockerArchive } from '../support/oci-images.js';
import { nemo, RealAgent } from '../support/real-agent.js';
import { errorOf } from '../support/sandboxes.js';
import { programOf } from '../support/sources.js';

const ZERO_DEVICE = ['c', '1', '5'];

describe('host files that a caller names', () => {
  const images = new ImageImports();
  const listed = join(images.folder, 'listed');
  const secret = join(images.folder, 'secret.tar');
  const at = (name: string) => join(listed, name);
  const refusal = async (path: string) => {
    const { code, message, hint } = await errorOf(images.import(path, { imageDirs: [listed] }));
    return [code, message.replace(path, 'PATH'), hint];
  };

  before(() => {
    mkdirSync(at('folder'), { recursive: true });
    const archive = dockerArchive({ layers: [[{ path: 'a', content: 'a' }]] });
    writeFileSync(secret, archive);
    writeFileSync(at('image.tar'), archive);
    symlinkSync(secret, at('link.tar'));
    symlinkSync(images.folder, at('link'));
    symlinkSync('image.tar', at('near.tar'));
    execFileSync('mkfifo', [at('pipe'), join(images.folder, 'pipe')]);
    execFileSync('mknod', [at('zero'), ...ZERO_DEVICE]);
  });
  after(() => images.close());

  it('are opened below the configured folders', async () => {
    const { layers } = await images.import(at('image.tar'), { imageDirs: [listed] });
    expect(layers).to.have.length(1);
    const nested = `${at('folder')}/.././image.tar`;
    expect((await images.import(nested, { imageDirs: [listed] })).layers).to.deep.equal(layers);
  });

  it('are refused in the same words, whatever they are and whether they are there', async () => {
    const nowhere = await refusal(at('nowhere.tar'));
    expect(nowhere[0]).to.equal('NOT_FOUND');
    for (const path of [
      secret,
      '/etc/shadow',
      '/root/nowhere',
      `${listed}/../secret.tar`,
      `${listed}-other/image.tar`,
      at('link.tar'),
      at('near.tar'),
      at('link/secret.tar'),
      at('image.tar/deeper'),
      at('pipe'),
      join(images.folder, 'pipe'),
      at('zero'),
      '/dev/zero',
      '/proc/self/environ',
    ])
      expect(await refusal(path), path).to.deep.equal(nowhere);
    expect((await errorOf(images.import(at('image.tar'), { imageDirs: [] }))).code).to.equal('NOT_FOUND');
  });

  it('block no thread of the agent: pipes, more than there are threads', async () => {
    await Promise.all(Array.from({ length: 8 }, () => refusal(at('pipe'))));
    // Answered by the very threads that the pipes would have held.
    expect((await stat('/')).isDirectory()).to.equal(true);
  });

  it('are what was looked at, though their names change all the time', async () => {
    const [mine, theirs] = ['mine', 'theirs'].map((name) => join(images.folder, name));
    for (const folder of [mine!, theirs!]) {
      mkdirSync(folder);
      writeFileSync(join(folder, 'image.tar'), folder);
    }
    // Swaps a folder of ours for a link to theirs, as fast as it can.
    const script = `cd "$1" && while :; do ln -sfnT "$3" swap; rm swap; mv "$2" swap; mv swap "$2"; ln -sfnT "$3" swap; rm swap; echo; done`;
    const swapper: ChildProcess = spawnTied('sh', ['-c', script, 'sh', listed, mine!, theirs!], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(swapper.stdout!, 'data');
    swapper.stdout!.resume();
    try {
      for (let times = 0; times < 2_000; ) {
        const opened = openBeneath(listed, 'swap/image.tar');
        if (opened === undefined) continue;
        times++;
        const buffer = Buffer.alloc(200);
        const text = buffer.toString('utf8', 0, readSync(opened.fd, buffer, 0, 200, 0));
        closeSync(opened.fd);
        expect(text).to.equal(mine);
      }
    } finally {
      await endProcess(swapper);
    }
  });

  it('stay inside for hostile messages: paths of every kind', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const folder = mkdtempSync(join(images.folder, 'fuzz-'));
    const inside = join(folder, 'inside');
    mkdirSync(join(inside, 'a', 'b'), { recursive: true });
    writeFileSync(join(inside, 'a', 'f'), 'f');
    linkSync(join(inside, 'a', 'f'), join(inside, 'g'));
    writeFileSync(join(folder, 'f'), 'outside');
    symlinkSync('..', join(inside, 'up'));
    symlinkSync('/', join(inside, 'a', 'root'));
    execFileSync('mkfifo', [join(inside, 'pipe')]);
    const known = new Set(['.', 'a', 'a/b', 'a/f'].map((name) => statSync(join(inside, name)).ino));
    const part = fc.oneof(
      fc.constantFrom('..', '.', '', 'a', 'b', 'f', 'g', 'up', 'root', 'etc', 'passwd', 'pipe', '\0', folder),
      fc.string({ maxLength: 6 }),
    );
    try {
      fuzz(
        fc.array(part, { maxLength: 8 }).map((parts) => parts.join('/')),
        (path) => {
          const opened = openBeneath(inside, path);
          if (opened === undefined) return true;
          const { ino } = fstatSync(opened.fd);
          closeSync(opened.fd);
          return known.has(ino);
        },
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('are not told of by the interpreter that a program asks for', () => {
    const refused = (interpreter: string) => {
      try {
        prepareProgram(programOf(`#!${interpreter}\n`));
        return 'taken';
      } catch (error) {
        return (error as Error).message.replace(interpreter, 'IT');
      }
    };
    expect(refused('/bin/sh')).to.equal('taken');
    expect(refused('/usr/bin/env sh')).to.equal('taken');
    for (const [there, nowhere] of [
      ['/etc/shadow', '/no/such/shell'],
      ['/usr/../etc/shadow', '/no/such/shell'],
      ['/usr/bin/env ../../etc/shadow', '/usr/bin/env ../../no/such/shell'],
      ['/usr/bin/env /etc/shadow', '/usr/bin/env /no/such/shell'],
    ] as const)
      expect(refused(there), there).to.equal(refused(nowhere));
  });
});

describe('an image that a client sends', () => {
  let box: TestBox;
  before(async () => {
    box = await startBox();
  });
  after(() => box.close());
  const send = (path: string, method: string, body?: string) =>
    fetch(`${box.gateway.url}/v1/images${path}`, { method, ...(body === undefined ? {} : { body }) });
  const begin = async () => ((await (await send('', 'POST')).json()) as { id: string }).id;
  const codeOf = async (answer: Response) =>
    ((await answer.json()) as { error?: { code: string } }).error?.code ?? answer.status;

  it('is taken in parts, one after the other, under a name of the agent', async () => {
    const id = await begin();
    expect(id).to.match(/^[0-9a-f]{32}$/);
    expect(await codeOf(await send(`/${id}?offset=0`, 'PATCH', 'abc'))).to.equal(200);
    for (const offset of ['0', '2', '4', '999999999999999', '-1', '1e3', ''])
      expect(await codeOf(await send(`/${id}?offset=${offset}`, 'PATCH', 'x')), offset).to.equal(
        'BAD_REQUEST',
      );
    expect(await codeOf(await send(`/${id}?offset=3`, 'PATCH', 'd'))).to.equal(200);
    expect((await send(`/${id}`, 'DELETE')).status).to.equal(204);
    expect(await codeOf(await send(`/${id}?offset=4`, 'PATCH', 'x'))).to.equal('NOT_FOUND');
  });

  it('names no file of the host', async () => {
    for (const id of ['..%2f..%2fetc%2fpasswd', 'x'.repeat(32), '%00', '__proto__'])
      expect(await codeOf(await send(`/${id}?offset=0`, 'PATCH', 'x')), id).to.equal('NOT_FOUND');
  });

  it('is bounded: a part in its size, and how many are under way', async () => {
    const ids = [await begin()];
    const large = 'x'.repeat(UPLOAD.partMaxBytes + 1);
    expect(await codeOf(await send(`/${ids[0]}?offset=0`, 'PATCH', large))).to.equal('BODY_TOO_LARGE');
    while (ids.length < UPLOAD.openPerClientMax) ids.push(await begin());
    expect(await codeOf(await send('', 'POST'))).to.equal('OVERLOADED');
    // Another client has places left, and then all are taken.
    const { uploads } = box.platform;
    while (ids.length < UPLOAD.openMax) ids.push((await uploads.create('192.0.2.1')).id);
    const refused = await uploads.create('192.0.2.2').catch((error: NemoError) => error.code);
    expect(refused).to.equal('OVERLOADED');
    for (const id of ids) await send(`/${id}`, 'DELETE');
    expect((await send(`/${await begin()}`, 'DELETE')).status).to.equal(204);
  });

  it('keeps its place for no longer than its bytes need, whoever goes on sending nothing', async () => {
    const folder = mkdtempSync('/var/tmp/nemo-uploads-');
    const uploads = await ImageUploads.open(new StorageQuota({ stateDir: folder }), 50);
    try {
      const { id } = await uploads.create('192.0.2.1');
      const longer = await uploads.create('192.0.2.1');
      // Two seconds at the slowest.
      await uploads.append(longer.id, 0, Buffer.alloc(2 * UPLOAD.bytesPerS));
      let code: string | undefined;
      while (code === undefined) {
        code = await uploads.append(id, 0, Buffer.alloc(0)).then(
          () => undefined,
          (error: NemoError) => error.code,
        );
      }
      expect(code).to.equal('NOT_FOUND');
      const { size } = await uploads.append(longer.id, 2 * UPLOAD.bytesPerS, Buffer.alloc(1));
      expect(size).to.equal(2 * UPLOAD.bytesPerS + 1);
    } finally {
      await uploads.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe('an agent whose caller names pipes and devices as images', function () {
  this.timeout(120_000);
  const agent = new RealAgent({ policy: 'naive' });
  before(() => agent.start());
  after(() => agent.close());

  it('goes on loading functions', async () => {
    const pipe = join(agent.folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const refused = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const answer = await fetch(`${agent.url}/v1/functions/pipe-${i}`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            engine: 'oci',
            image: i === 0 ? '/dev/tty' : pipe,
          }),
        });
        return answer.status;
      }),
    );
    // Beyond its share of the places one client is told to come again.
    expect(new Set(refused.filter((status) => status !== 429))).to.deep.equal(new Set([404]));
    expect(refused[0]).to.equal(404);
    const file = join(agent.folder, 'hello.mjs');
    writeFileSync(file, 'export default () => "still here";');
    const at = ['--agent', agent.url];
    expect((await nemo(['deploy', file, ...at])).err).to.equal('');
    expect((await nemo(['invoke', 'hello', ...at])).out).to.contain('still here');
  });
});
