import { execFile } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { chooseManifest, manifestParts, parseConfig, parseJson } from '../../src/images/image.js';
import { checkImageRequest, parseSource } from '../../src/images/reference.js';
import { loginFor, parseLogin } from '../../src/images/registry-logins.js';
import { mayAsk, mayConnect } from '../../src/images/registry-rules.js';
import { NemoError } from '../../src/model/errors.js';
import { OCI } from '../../src/tunables/index.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { ImageImports, localRegistry } from '../support/image-imports.js';
import { writeLayout } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';
import { type Answering, RegistryServer } from './support/registry-server.js';

const REBINDING = fileURLToPath(new URL('support/rebinding.js', import.meta.url));

describe('a registry that a caller names', function () {
  this.timeout(60_000);
  const images = new ImageImports();
  const internal = new RegistryServer();
  const registry = new RegistryServer();
  let digests: ReturnType<typeof writeLayout>;
  const image = join(images.folder, 'image');
  const blobs: Answering = ({ url }, response) => {
    const digest = url!.split('/').at(-1)!;
    response.end(readFileSync(join(image, 'blobs/sha256', digest.replace('sha256:', ''))));
  };
  const pull = (input: object = {}) =>
    images.import(`${registry.host}/me/app@${digests.manifest}`, {
      registries: { ...localRegistry(registry.host), ...input },
    });

  /** What /etc/hosts is for `pullIn`. */
  const hosts = join(images.folder, 'hosts');
  const run = promisify(execFile);
  const pullIn = async (name: string, access: object, certificates = '') => {
    const args = ['--mount', process.execPath, REBINDING, hosts, name, JSON.stringify(access)];
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: certificates };
    return (await run('unshare', args, { env })).stdout;
  };

  before(async () => {
    digests = writeLayout(image, { layers: [[{ path: 'hello', content: 'hello' }]] });
    await internal.listen();
    await registry.listen();
  });
  beforeEach(() => {
    registry.answer = blobs;
    for (const server of [internal, registry]) {
      server.asked.length = 0;
      server.connections = 0;
    }
  });
  after(async () => {
    internal.close();
    registry.close();
    await images.close();
  });

  it('is not asked if it is this host or a private network, in whatever way that is written', async () => {
    const { port } = internal;
    const answers = new Set<string>();
    for (const host of ['localhost', '127.0.0.1', '127.1', '127.0.0.2', '0.0.0.0', '0x7f.1', '10.0.0.1'])
      for (const at of [`${host}:${port}`, `${host}:1`]) {
        const { code, message } = await errorOf(images.import(`${at}/a/b`, { store: image }));
        answers.add(`${code} ${message.replace(at, 'HOST')}`);
      }
    // One answer for all: nothing tells whether somebody listens there.
    expect([...answers]).to.have.length(1);
    expect([...answers][0]).to.match(/^NOT_FOUND .* no address that images may come from/);
    expect(internal.connections).to.equal(0);
  });

  it('cannot have tokens fetched elsewhere', async () => {
    for (const realm of [
      `http://${internal.host}/admin`,
      `https://${internal.host}/admin`,
      `http://localhost:${registry.port}/t`,
      'http://169.254.169.254/latest/meta-data',
      'file:///etc/passwd',
      'https://elsewhere.example/token',
    ]) {
      registry.answer = (_request, response) =>
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end();
      const { code, message } = await errorOf(pull());
      expect([code, message.includes('may not send to')], realm).to.deep.equal(['BAD_FUNCTION', true]);
    }
    expect(internal.connections).to.equal(0);
  });

  it('cannot redirect elsewhere, with whatever status', async () => {
    for (const status of [301, 302, 303, 307, 308]) {
      registry.answer = (_request, response) =>
        response.writeHead(status, { location: `http://${internal.host}/x` }).end();
      expect((await errorOf(pull())).message).to.contain('may not send to');
    }
    expect(internal.connections).to.equal(0);
  });

  it('cannot redirect for ever', async () => {
    registry.answer = ({ url }, response) => response.writeHead(302, { location: `${url}x` }).end();
    expect((await errorOf(pull())).message).to.contain('without an end');
    expect(registry.asked).to.have.length(OCI.redirectsMax + 1);
  });

  it('may send to no other host by plain HTTP, also if the operator named it', async () => {
    registry.answer = ({ url }, response) =>
      response.writeHead(307, { location: `http://${internal.host}${url}` }).end();
    const rule = (host: string) => ({ host, insecure: true, private: true, follow: [internal.host] });
    const hosts = [rule(registry.host), rule(internal.host)];
    expect((await errorOf(pull({ hosts }))).message).to.contain('may not send to');
    expect(internal.connections).to.equal(0);
  });

  it('may send to hosts that the operator named, which get no login', async () => {
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(images.folder, name)) as [string, string];
    const names = 'subjectAltName=DNS:reg.test,DNS:cdn.reg.test';
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    await run('openssl', [...made, '-keyout', key, '-out', cert, '-subj', '/CN=reg.test', '-addext', names]);
    const tls = { key: readFileSync(key), cert: readFileSync(cert) };
    const cdn = await new RegistryServer(blobs, '127.0.0.1', tls).listen();
    const auth = Buffer.from('me:secret').toString('base64');
    const secure = await new RegistryServer(
      (request, response) => {
        if (request.headers.authorization !== `Basic ${auth}`)
          response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
        else if (request.url!.includes('/blobs/'))
          response.writeHead(307, { location: `https://cdn.reg.test:${cdn.port}${request.url}` }).end();
        else blobs(request, response);
      },
      '127.0.0.1',
      tls,
    ).listen();
    try {
      const host = `reg.test:${secure.port}`;
      const logins = join(images.folder, 'logins.json');
      writeFileSync(logins, JSON.stringify({ auths: { [host]: { auth } } }));
      writeFileSync(hosts, '127.0.0.1 reg.test cdn.reg.test\n');
      const access = (follow: string[]) => ({
        logins,
        hosts: [{ host, insecure: false, private: true, follow }],
      });
      const name = `${host}/me/app@${digests.manifest}`;
      // Of the same site, but this box: what is not named is not asked.
      expect(await pullIn(name, access([]), cert)).to.contain('it has no address');
      expect(cdn.connections).to.equal(0);
      expect(await pullIn(name, access([`cdn.reg.test:${cdn.port}`]), cert)).to.match(/^pulled \d+/);
      expect(cdn.asked.map(({ authorization }) => authorization)).to.deep.equal([undefined, undefined]);
    } finally {
      cdn.close();
      secure.close();
    }
  });

  it('has bounds for what it sends: documents, tokens, headers, nesting', async () => {
    const endless: Answering = (_request, response) => {
      const chunk = Buffer.alloc(64 * 1024, ' ');
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
        response.once('drain', more);
      };
      more();
    };
    registry.answer = endless;
    expect((await errorOf(pull())).message).to.contain('too large');
    registry.answer = (request, response) => {
      if (request.url!.startsWith('/token')) endless(request, response);
      else
        response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${registry.host}/token"` }).end();
    };
    expect((await errorOf(pull())).message).to.contain('the token of the image is too large');
    registry.answer = (_request, response) =>
      response.writeHead(200, { 'x-more': 'x'.repeat(OCI.headersMaxBytes) }).end();
    expect((await errorOf(pull())).code).to.equal('NOT_FOUND');
    registry.answer = (_request, response) =>
      response.end(`{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`);
    const byTag = images.import(`${registry.host}/me/app:deep`, { registries: localRegistry(registry.host) });
    expect((await errorOf(byTag)).message).to.contain('too deep');
  });

  it('that never ends sending a layer is left after the time for an import', async () => {
    registry.answer = (request, response) => {
      if (request.url!.includes(digests.layers[0]!)) response.write('x');
      else blobs(request, response);
    };
    const late = images.import(`${registry.host}/me/app@${digests.manifest}`, {
      ...{ registries: localRegistry(registry.host), store: join(images.folder, 'late'), timeoutMs: 1_500 },
    });
    expect((await errorOf(late)).message).to.contain('took longer');
    expect(images.driver.list()).to.deep.equal([]);
  });

  it('is asked at the addresses that its name had first, however often that changes', async () => {
    const elsewhere = await new RegistryServer(blobs, '127.0.0.9').listen(registry.port);
    const name = `reg.test:${registry.port}`;
    const image = `${name}/me/app@${digests.manifest}`;
    try {
      writeFileSync(hosts, '127.0.0.1 reg.test\n');
      registry.answer = (request, response) => {
        writeFileSync(hosts, '127.0.0.9 reg.test\n');
        response.setHeader('connection', 'close');
        blobs(request, response);
      };
      const named = { hosts: [{ host: name, insecure: true, private: true, follow: [] }] };
      expect(await pullIn(image, named)).to.match(/^pulled \d+/);
      expect([registry.asked.length, elsewhere.connections]).to.deep.equal([3, 0]);
      // A name without a word of the operator leads to none of these.
      const refused = new Set<string>();
      for (const address of [
        '127.0.0.1',
        '10.1.2.3',
        '169.254.169.254',
        '100.100.100.200',
        '::1',
        'fd00:ec2::254',
      ]) {
        writeFileSync(hosts, `${address} reg.test\n`);
        refused.add(await pullIn(image, { hosts: [] }));
      }
      expect([...refused].join()).to.match(
        /^the registry reg\.test:\d+ cannot be asked: it has no address[^,]*$/,
      );
      // One address among several is enough to refuse the name.
      writeFileSync(hosts, `1.1.1.1 reg.test\n127.0.0.1 reg.test\n`);
      expect(await pullIn(image, { hosts: [] })).to.contain('it has no address');
      // To a metadata service nothing leads, whatever the operator says.
      writeFileSync(hosts, '169.254.169.254 reg.test\n');
      expect(await pullIn(image, named)).to.contain('it has no address');
    } finally {
      elsewhere.close();
    }
  });

  it('is logged in to as a docker config.json says, and no helper of it is run', () => {
    const auth = Buffer.from('me:pw').toString('base64');
    const hub = 'registry-1.docker.io';
    expect(parseLogin(JSON.stringify({ auths: { 'r.example': { auth } } }), 'r.example')).to.equal(
      `Basic ${auth}`,
    );
    expect(parseLogin(JSON.stringify({ auths: { 'r.example': { auth } } }), 's.example')).to.equal(undefined);
    expect(parseLogin(JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth } } }), hub)).to.equal(
      `Basic ${auth}`,
    );
    for (const config of [
      { credHelpers: { 'r.example': 'evil' } },
      { credsStore: 'evil', auths: { 'r.example': {} } },
    ])
      expect(() => parseLogin(JSON.stringify(config), 'r.example')).to.throw(/none is run here/);
  });

  it('gets no login from a file that others than root can change', () => {
    const folder = mkdtempSync('/var/tmp/nemo-logins-');
    try {
      const file = join(folder, 'config.json');
      const auth = Buffer.from('me:pw').toString('base64');
      writeFileSync(file, JSON.stringify({ auths: { 'r.example': { auth } } }), { mode: 0o600 });
      expect(loginFor('r.example', file)).to.equal(`Basic ${auth}`);
      chmodSync(file, 0o622);
      expect(() => loginFor('r.example', file)).to.throw(/others than root may write/);
      chmodSync(file, 0o600);
      chownSync(file, 65_534, 0);
      expect(() => loginFor('r.example', file)).to.throw(/belongs to user 65534/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is known by its site, not by how its name ends', () => {
    const ask = (url: string, from: string) => mayAsk(new URL(url), from, undefined);
    expect(ask('https://auth.docker.io/token', 'registry-1.docker.io')).to.equal(true);
    expect(ask('https://production.cloudflare.docker.com/x', 'registry-1.docker.io')).to.equal(true);
    expect(ask('https://auth.example.co.uk/token', 'registry.example.co.uk')).to.equal(true);
    for (const [url, from] of [
      ['https://evil.co.uk/', 'registry.co.uk'],
      ['https://evildocker.io/', 'registry-1.docker.io'],
      ['https://other.github.io/', 'mine.github.io'],
      ['http://auth.docker.io/token', 'registry-1.docker.io'],
      ['https://me:pw@auth.docker.io/', 'registry-1.docker.io'],
      ['https://10.0.0.2/', '10.0.0.1'],
    ] as const)
      expect(ask(url, from), url).to.equal(false);
  });

  it('has no address of this box: its own public ones lead to the same services', () => {
    expect(mayConnect('93.184.216.34', undefined, new Set())).to.equal(true);
    expect(mayConnect('93.184.216.34', undefined, new Set(['93.184.216.34']))).to.equal(false);
    for (const address of [
      ...['::ffff:127.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', 'fe80::1', 'fc00::1', '::', '172.16.0.1'],
      ...['100.64.0.1', '168.63.129.16', '224.0.0.1', '255.255.255.255', 'no address', '192.168.1.1'],
    ])
      expect(mayConnect(address, undefined, new Set()), address).to.equal(false);
  });

  describe('takes hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const refusedOnly = (work: () => unknown): boolean => {
      try {
        work();
        return true;
      } catch (error) {
        return error instanceof NemoError && ['BAD_FUNCTION', 'BAD_CONFIG'].includes(error.code);
      }
    };
    const digest = fc.constantFrom(`sha256:${'0'.repeat(64)}`, 'sha256:x', '', 'sha512:00');
    const junk = fc.oneof(fc.jsonValue({ maxDepth: 3 }), digest, fc.constantFrom(null, {}, [], '__proto__'));
    const descriptor = fc.oneof(
      junk,
      fc.record({ digest, platform: junk, annotations: junk, size: junk }, { requiredKeys: [] }),
    );
    const document = fc.record(
      {
        ...{ manifests: fc.oneof(junk, fc.array(descriptor)), layers: fc.oneof(junk, fc.array(descriptor)) },
        ...{
          config: fc.oneof(
            descriptor,
            fc.record({ Env: junk, Cmd: junk, Volumes: junk, ExposedPorts: junk }),
          ),
        },
        ...{ rootfs: fc.oneof(junk, fc.record({ diff_ids: fc.oneof(junk, fc.array(digest)) })), os: junk },
        architecture: fc.oneof(junk, fc.constant(process.arch === 'arm64' ? 'arm64' : 'amd64')),
      },
      { requiredKeys: [] },
    );

    it('hostile messages as manifests, indexes and configs', () =>
      fuzz(
        fc.oneof(
          document.map((value) => Buffer.from(JSON.stringify(value))),
          fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
        ),
        (bytes) => {
          let parsed: Record<string, unknown> = {};
          if (!refusedOnly(() => (parsed = parseJson(bytes, 'it')))) return false;
          return [chooseManifest, manifestParts, parseConfig].every((parse) =>
            refusedOnly(() => parse(parsed)),
          );
        },
      ));

    it('hostile messages as references', () =>
      fuzz(
        fc.oneof(
          fc.string({ maxLength: 300 }),
          fc
            .array(fc.constantFrom('a', '.', '/', ':', '@', '#', '-', 'upload:', 'sha256:', '{', '"'))
            .map((all) => all.join('')),
        ),
        (text) => refusedOnly(() => parseSource(text)),
      ));

    it('hostile requests for images', () =>
      fuzz(fc.record({ image: fc.oneof(junk, fc.constant('a')), handler: junk, port: junk }), (request) =>
        refusedOnly(() => checkImageRequest(request)),
      ));

    it('hostile messages as logins', () =>
      fuzz(
        fc.oneof(
          fc.string(),
          fc
            .record({
              auths: fc.oneof(junk, fc.dictionary(fc.constantFrom('r.example', 'x'), junk)),
              credHelpers: junk,
            })
            .map((value) => JSON.stringify(value)),
        ),
        (text) => refusedOnly(() => parseLogin(text, 'r.example')),
      ));

    it('hostile messages as places to send to', () =>
      fuzz(
        fc.oneof(
          fc.webUrl(),
          fc.domain().map((name) => `https://${name}`),
          fc.ipV4().map((ip) => `https://${ip}/`),
        ),
        (url) =>
          !mayAsk(new URL(url), 'registry.nemo-test.example', undefined) || /nemo-test\.example/.test(url),
      ));
  });
});
