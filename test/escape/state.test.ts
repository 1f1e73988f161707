import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { readConfig } from '../../src/config/config.js';
import { spawnTied } from '../../src/linux/tied-process.js';
import { NemoError } from '../../src/model/errors.js';
import { maskUrl, maskUrls } from '../../src/model/mask-url.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { CLI, type Ended, nemo, RealAgent } from '../support/real-agent.js';

const NOBODY = 65_534;
/** Of which no part may be shown. */
const PASSWORD = 'SA1/SB2@SC3?SD4%40SE5#SF6';
const ESCAPED = encodeURIComponent(PASSWORD);

/** `nemo up` of an agent that is not expected to start; one that does is asked to end. */
async function refused(agent: RealAgent): Promise<Ended> {
  const child = spawnTied(process.execPath, [CLI, 'up', '--config', agent.configFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout!.on('data', (text) => {
    out += text;
    child.kill('SIGTERM');
  });
  child.stderr!.on('data', (text) => (err += text));
  const [code] = await once(child, 'close');
  return { code, out, err };
}

describe('escape by the state of the agent', function () {
  this.timeout(60_000);
  let agent: RealAgent;
  beforeEach(() => {
    agent = new RealAgent();
  });
  afterEach(() => agent.close());

  for (const [what, prepare] of [
    ['belongs to somebody else', (path: string) => chownSync(path, NOBODY, NOBODY)],
    ['others may write', (path: string) => chmodSync(path, 0o777)],
    ['its group may write', (path: string) => chmodSync(path, 0o770)],
  ] as const) {
    for (const directory of ['state', 'run']) {
      it(`does not use a ${directory} directory that ${what}`, async () => {
        const path = join(agent.folder, directory);
        mkdirSync(path);
        prepare(path);
        const { code, err } = await refused(agent);
        expect(code).to.equal(1);
        expect(err).to.contain(`${path} is not used`).and.contain('[BAD_CONFIG]');
      });
    }
  }

  it('does not follow a link that stands for its state', async () => {
    const elsewhere = join(agent.folder, 'elsewhere');
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, join(agent.folder, 'state'));
    const { code, err } = await refused(agent);
    expect([code, err]).to.deep.equal([1, err]);
    expect(err).to.contain('symbolic link');
    expect(readdirSync(elsewhere)).to.deep.equal([]);
  });

  it('does not use a directory that another user could replace', async () => {
    const above = join(agent.folder, 'above');
    mkdirSync(above);
    chownSync(above, NOBODY, NOBODY);
    agent.configure({ stateDir: join(above, 'state') });
    const { code, err } = await refused(agent);
    expect(code).to.equal(1);
    expect(err).to.contain(`${above} above it is not safe`);
  });

  for (const [file, text] of [
    ['settings.sh', '#!/bin/sh\n# agent 1\ntouch "$(dirname "$0")/pwned"\n'],
    ['protected.json', '{"agent":1,"threads":[\n]}\n'],
    ['store/data.mdb', ''],
    [`bundles/${'0'.repeat(64)}.mjs`, ''],
  ] as const) {
    it(`does not run or believe ${file.slice(0, 24)} of somebody else`, async () => {
      const state = join(agent.folder, 'state');
      const path = join(state, file);
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, text);
      chownSync(path, NOBODY, NOBODY);
      const { code, err } = await refused(agent);
      expect(code).to.equal(1);
      expect(err).to.contain(`${path} is not used: it belongs to user ${NOBODY}`);
      expect(readdirSync(state)).not.to.contain('pwned');
    });
  }

  it('is closed to other users from the start, whatever umask the agent was given', async () => {
    const before = process.umask(0);
    try {
      await agent.start();
    } finally {
      process.umask(before);
    }
    await agent.deploy('secretive', 'export default () => ({});', { env: { TOKEN: 'tell nobody' } });
    expect((await agent.call('secretive')).status).to.equal(200);
    const open: string[] = [];
    const look = (path: string): void => {
      const stats = lstatSync(path);
      const most = stats.isDirectory() ? 0o750 : 0o640;
      if (!stats.isSymbolicLink() && (stats.mode & 0o777 & ~most & ~0o700) !== 0) open.push(path);
      if (stats.isDirectory()) for (const name of readdirSync(path)) look(join(path, name));
    };
    look(join(agent.folder, 'state'));
    expect(open).to.deep.equal([]);
    const asNobody = promisify(execFile)('setpriv', [
      ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
      ...['sh', '-c', 'cat "$1/state/store/data.mdb" || ls "$1/state" || ls "$1/run"', 'sh', agent.folder],
    ]);
    const failed = await asNobody.then(
      () => 'read it',
      (error: { code: number }) => error.code,
    );
    expect(failed).to.be.a('number').above(0);
  });
});

/** The letter before. */
function prior(letter: string): string {
  return String.fromCharCode(letter.charCodeAt(0) - 1);
}

describe('escape by what the agent is told to do', function () {
  this.timeout(60_000);
  const PROFILE =
    'name: mine\nmatch: { process: ^mine$ }\nmode: sleep\npacketThreads: main\nsloP99Us: 500\nlatency: { source: none }\n';
  let agent: RealAgent;
  let profiles: string;
  let profile: string;
  beforeEach(() => {
    agent = new RealAgent();
    profiles = join(agent.folder, 'profiles');
    profile = join(profiles, 'mine.yaml');
    mkdirSync(profiles);
    writeFileSync(profile, PROFILE);
    agent.configure({ discovery: true, profileDirs: [profiles] });
  });
  afterEach(() => agent.close());

  /** A link of root's at `path` to what somebody else's folder leads to. */
  const throughForeignLink = (path: string): void => {
    const foreign = join(agent.folder, 'foreign');
    mkdirSync(foreign);
    renameSync(path, `${path}.real`);
    symlinkSync(`${path}.real`, join(foreign, 'link'));
    chownSync(foreign, NOBODY, NOBODY);
    symlinkSync(join(foreign, 'link'), path);
  };
  const WAYS = [
    ['of somebody else', (path: string) => chownSync(path, NOBODY, NOBODY)],
    ['that others may write', (path: string) => chmodSync(path, 0o666)],
    ['that its group may write', (path: string) => chmodSync(path, 0o664)],
    ['in a folder that others may write', (path: string) => chmodSync(join(path, '..'), 0o777)],
    ['behind a link in the folder of somebody else', throughForeignLink],
  ] as const;

  for (const [way, change] of WAYS) {
    it(`does not believe a configuration ${way}`, async () => {
      change(agent.configFile);
      const { code, err } = await refused(agent);
      expect([code, err]).to.deep.equal([1, err]);
      expect(err).to.contain(`the configuration ${agent.configFile} is not used: `).and.contain('chmod go-w');
    });
    it(`does not believe a profile ${way}`, async () => {
      change(profile);
      const { code, err } = await refused(agent);
      expect([code, err]).to.deep.equal([1, err]);
      expect(err).to.match(/the profile (directory )?\S+ is not used: .*\[BAD_PROFILE\]/);
    });
  }

  const bomb = 'bcdefghi'.replace(/./g, (c) => `${c}: &${c} [${Array(9).fill(`*${prior(c)}`)}]\n`);
  const ODD: ReadonlyArray<[what: string, make: (path: string) => void]> = [
    ['a pipe, which looks empty', (path) => void execFileSync('mkfifo', ['-m', '600', path])],
    ['a folder', (path) => mkdirSync(path, { mode: 0o700 })],
    [
      'longer than anybody writes',
      (path) => writeFileSync(path, `name: ${'x'.repeat(2 ** 20)}`, { mode: 0o600 }),
    ],
    [
      'a few lines that stand for millions',
      (path) => writeFileSync(path, `a: &a [x]\n${bomb}`, { mode: 0o600 }),
    ],
  ];
  for (const [what, make] of ODD) {
    it(`does not take for a configuration what is ${what}`, () => {
      const path = join(agent.folder, 'odd.yaml');
      make(path);
      expect(() => readConfig(path))
        .to.throw(NemoError)
        .with.property('code', 'BAD_CONFIG');
    });
  }

  it('lets another user who only looks use his own profiles, and those of nobody else', async () => {
    const asNobody = () =>
      promisify(execFile)('setpriv', [
        ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
        ...[process.execPath, CLI, 'nf', 'profiles', '--profiles', profiles],
      ]).then(
        ({ stdout }) => stdout,
        (error: { stderr: string }) => error.stderr,
      );
    expect(await asNobody()).to.contain('mine');
    chownSync(profile, NOBODY, NOBODY);
    chownSync(profiles, NOBODY, NOBODY);
    expect(await asNobody()).to.contain('mine');
    chownSync(profile, NOBODY - 1, NOBODY - 1);
    expect(await asNobody()).to.contain(`belongs to user ${NOBODY - 1}`);
  });
});

describe('passwords in messages', function () {
  this.timeout(60_000);

  /** Pieces of the password that are long enough to be of use. */
  const leaks = (text: string): string[] =>
    (PASSWORD.match(/S[A-F]\d/g) ?? []).filter((part) => text.includes(part));

  it('are not there when a store or a queue cannot be reached', async () => {
    const url = `redis://:${ESCAPED}@127.0.0.1:1/0`;
    const agent = new RealAgent({ store: { kind: 'redis', url } });
    try {
      const { code, err } = await refused(agent);
      expect(code).to.equal(2);
      expect(leaks(err), err).to.deep.equal([]);
      expect(err).to.contain('redis://***@127.0.0.1:1/0');
      agent.configure({ queues: [{ url, stream: 'jobs', function: 'f' }] });
      await agent.start();
      const event = await agent.untilEvent(({ message }) => message.includes('the queue "jobs"'));
      expect(leaks(event.message), event.message).to.deep.equal([]);
      expect(leaks(JSON.stringify(await agent.status()))).to.deep.equal([]);
    } finally {
      await agent.close();
    }
  });

  it('are not there when an address in the configuration is wrong', async () => {
    const agent = new RealAgent();
    try {
      const url = `redis://:${PASSWORD}@127.0.0.1:1`;
      for (const config of [
        { store: { kind: 'redis', url } } as const,
        { queues: [{ url, stream: 'jobs', function: 'f' }] },
      ]) {
        agent.configure(config);
        const { code, err } = await refused(agent);
        expect([code, leaks(err)], err).to.deep.equal([1, []]);
        expect(err).to.contain('is not an address of a Redis server');
      }
      agent.configure({ queues: [{ url: `reds://:${PASSWORD}@host:1`, stream: 'jobs', function: 'f' }] });
      const { code, err } = await refused(agent);
      expect(code).to.equal(1);
      expect(leaks(err), err).to.deep.equal([]);
    } finally {
      await agent.close();
    }
  });

  it("are not there when the agent's address is wrong or nobody answers", async () => {
    for (const address of [
      `gopher://u:${PASSWORD}@127.0.0.1:1`,
      `http://u:${ESCAPED}@127.0.0.1:1/?token=SA1`,
    ]) {
      for (const command of [['ls'], ['nf', 'ls']]) {
        const { out, err } = await nemo([...command, '--agent', address]);
        expect(leaks(out + err), err).to.deep.equal([]);
        expect(err).not.to.equal('');
      }
    }
  });

  it('are masked whole, with every value of a query: hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const part = fc.string({ unit: fc.constantFrom(...'ABCXYZ0:@/?#%&=;!'.split('')), maxLength: 12 });
    const address = fc.tuple(fc.constantFrom('redis', 'rediss', 'https'), part, part, part);
    fuzz(address, ([scheme, user, password, query]) => {
      const url = `${scheme}://${user}:${password}@host.test:6379/1?token=${query}`;
      const masked = [maskUrl(url), maskUrls(`cannot reach ${url} now`)];
      // Names and numbers of the address itself are small letters and the digits 1, 3, 6, 7, 9.
      return masked.every((text) => !/[A-Z0]/.test(text));
    });
  });
});
