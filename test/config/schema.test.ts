import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { CONFIG_SCHEMA, type UserConfig } from '../../src/config/config-schema.js';
import { compileSchema, parseCheckedYaml } from '../../src/model/checked-yaml.js';
import { PROFILE_SCHEMA } from '../../src/model/nf-profile-schema.js';
import { BUILTIN_PROFILES } from '../../src/nf/profiles.js';

const read = (yaml: string): UserConfig =>
  parseCheckedYaml<UserConfig>(yaml, 'nemo.yaml', {
    code: 'BAD_CONFIG',
    what: 'the configuration',
    hint: '',
    validate: compileSchema<UserConfig>(CONFIG_SCHEMA),
  }).value;
const overriding = (overrides: string): string => `nfs: [{ profile: nginx, overrides: ${overrides} }]\n`;

describe('the schemas of profiles and configuration', () => {
  it('publish the schema of profiles by which they are checked (else: npm run schema)', () => {
    const published = readFileSync(join(BUILTIN_PROFILES, 'profile.schema.json'), 'utf8');
    expect(JSON.parse(published)).to.deep.equal(JSON.parse(JSON.stringify(PROFILE_SCHEMA)));
  });

  const refused: Array<[what: string, overrides: string, words: RegExp]> = [
    ['a tap without interfaces', '{ latency: { source: tap } }', /latency\.ingress" is missing/],
    [
      'an interface whose name Linux cannot have',
      `{ latency: { source: tap, ingress: a-very-long-name, egress: b, invariant: ipv4-id } }`,
      /ingress must NOT have more than 15 characters/,
    ],
    ['FIFO without a priority', '{ protection: { kind: fifo } }', /protection\.value" is missing/],
    ['FIFO 99', '{ protection: { kind: fifo, value: 99 } }', /value must be <= 98/],
    ['a nice value that slows the NF', '{ protection: { kind: nice, value: 5 } }', /value must be <= -1/],
    ['FIFO for a thread that polls', '{ mode: poll, protection: { kind: fifo, value: 1 } }', /none, nice/],
    ['an empty pattern', '{ packetThreads: "" }', /must NOT have fewer than 1 character/],
  ];
  for (const [what, overrides, words] of refused) {
    it(`refuse in nfs[].overrides what they refuse in a profile: ${what}`, () => {
      expect(() => read(overriding(overrides))).to.throw(words);
    });
  }

  it('refuse a match without a condition, which every process would fit', () => {
    expect(() => read('nfs: [{ profile: nginx, match: {} }]\n')).to.throw(/match must NOT have fewer than 1/);
  });

  it('take in nfs[].overrides what they take in a profile', () => {
    const overrides = { mode: 'poll', protection: { kind: 'nice', value: -10 }, cores: [1], slices: true };
    expect(read(overriding(JSON.stringify(overrides))).nfs?.[0]?.overrides).to.deep.equal(overrides);
  });

  it('say what a text must be like', () => {
    expect(() => read('pool: { memory: much }\n')).to.throw(/pool\.memory must be like 2Gi, not "much"/);
    expect(() => read('store: { kind: redis }\n')).to.throw(/"store\.url" is missing/);
  });
});
