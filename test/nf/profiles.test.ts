import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import { BUILTIN_PROFILES, loadProfiles, parseProfile } from '../../src/nf/profiles.js';

const GOOD = 'name: mine\nmatch:\n  process: ^mine$\nmode: sleep\nsloP99Us: 200\n';

function errorOf(text: string): NemoError {
  try {
    parseProfile(text, 'mine.yaml');
  } catch (thrown) {
    return thrown as NemoError;
  }
  throw new Error('accepted');
}

describe('NF profiles', () => {
  it('those that come with NEMO are all valid, and distinct', () => {
    const names = loadProfiles([BUILTIN_PROFILES]).map((profile) => profile.name);
    expect(names).to.have.members([
      ...['firewall', 'nat', 'lb', 'router', 'dpi', 'tunnel'],
      ...['dpdk-testpmd', 'ovs-vswitchd', 'nginx', 'haproxy', 'nftables', 'wireguard', 'wireguard-go'],
    ]);
  });

  it('what is left out gets its default', () => {
    expect(parseProfile(GOOD, 'mine.yaml').profile).to.deep.equal({
      name: 'mine',
      title: 'mine',
      match: { process: '^mine$' },
      mode: 'sleep',
      sloP99Us: 200,
      latency: { source: 'runqueue' },
      protection: { kind: 'none' },
      harvest: true,
    });
  });

  const bad: Array<[what: string, text: string, line: number, column: number, key: string, words: RegExp]> = [
    ['a mistyped key', GOOD.replace('process', 'proces'), 3, 3, 'match.proces', /unknown key "proces"/],
    ['a mistyped required key', GOOD.replace('mode:', 'mod:'), 4, 1, 'mod', /unknown key "mod"/],
    ['a mistyped value', GOOD.replace('sleep', 'sleeep'), 4, 7, 'mode', /one of sleep, poll/],
    ['a missing key', GOOD.replace('sloP99Us: 200\n', ''), 1, 1, 'sloP99Us', /"sloP99Us" is missing/],
    ['a number out of range', GOOD.replace('200', '-1'), 5, 11, 'sloP99Us', /must be > 0/],
    ['a broken pattern', GOOD.replace('^mine$', '"("'), 3, 12, 'match.process', /not a regular expression/],
    ['a tap without interfaces', `${GOOD}latency: {source: tap}\n`, 6, 10, 'latency.ingress', /is missing/],
    ['FIFO 99', `${GOOD}protection: {kind: fifo, value: 99}\n`, 6, 33, 'protection.value', /<= 98/],
    ['a key given twice', `${GOOD}mode: poll\n`, 6, 1, '', /unique/],
    ['broken YAML', `${GOOD}latency: [\n`, 7, 1, '', /./],
    ['an empty file', '', 1, 1, '', /must be a map of keys and values/],
  ];
  for (const [what, text, line, column, key, words] of bad) {
    it(`${what} is reported with its line, column and key`, () => {
      const error = errorOf(text);
      expect(error.code).to.equal('BAD_PROFILE');
      expect(error.message).to.match(words).and.to.include(`mine.yaml:${line}:${column}:`);
      expect(error.details).to.deep.equal({ file: 'mine.yaml', line, column, key });
    });
  }

  it('says what was probably meant', () => {
    expect(errorOf(GOOD.replace('process', 'proces')).hint).to.equal('did you mean "process"?');
    expect(errorOf(GOOD.replace('sleep', 'slepe')).hint).to.equal('did you mean "sleep"?');
  });

  it('refuses FIFO for a polling NF, and says why', () => {
    const error = errorOf(`${GOOD.replace('sleep', 'poll')}protection: {kind: fifo, value: 50}\n`);
    expect(error.hint).to.match(/never yields/);
  });

  it('a name used twice is reported with both files', () => {
    const directory = mkdtempSync(join(tmpdir(), 'nemo-profiles-'));
    try {
      writeFileSync(join(directory, 'a.yaml'), GOOD);
      writeFileSync(join(directory, 'b.yaml'), `# second\n${GOOD}`);
      expect(() => loadProfiles([directory]))
        .to.throw(NemoError, /b\.yaml:2:7: the name mine is taken by .*a\.yaml/)
        .with.property('code', 'BAD_PROFILE');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('a missing directory is named', () => {
    expect(() => loadProfiles(['/nowhere/profiles']))
      .to.throw(NemoError, /\/nowhere\/profiles/)
      .with.property('code', 'NOT_FOUND');
  });
});
