import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type AgentConfig, readConfig, resolveConfig } from '../../src/config/config.js';
import type { NemoError } from '../../src/model/errors.js';
import { UsageHistory } from '../../src/policy/usage/usage.js';

describe('policies in the configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nemo-config-'));
  const file = join(folder, 'nemo.yaml');
  after(() => rmSync(folder, { recursive: true }));

  const pool = (yaml: string): AgentConfig['pool'] => {
    writeFileSync(file, `pool:\n  ${yaml}\n`);
    return resolveConfig(readConfig(file), [0, 1]).pool;
  };
  const expiry = (config: AgentConfig['pool']): number =>
    config.keepAlive.expiresMs(
      { lastUsedMs: 5, memoryBytes: 1, clockAtUse: 0, usage: new UsageHistory() },
      5,
    );

  it('takes the names of policies, and names with options', () => {
    const { prewarm, keepAlive, selection } = pool(
      '{ prewarm: histogram, keepAlive: lru, selection: least-loaded }',
    );
    expect([prewarm.name, keepAlive.name, selection.name]).to.deep.equal([
      'histogram',
      'lru',
      'least-loaded',
    ]);
    expect(expiry(pool('keepAlive: { policy: ttl, keepAlive: 2s }'))).to.equal(2005);
    expect(pool('memory: 2Gi').memoryMaxBytes).to.equal(2 ** 31);
  });

  it('still takes a duration as keepAlive, and the sizes of the fixed pool', () => {
    const old = pool('{ stems: 3, warmPerFunction: 2, keepAlive: 30s }');
    expect([old.prewarm.name, old.keepAlive.name, expiry(old)]).to.deep.equal(['fixed', 'ttl', 30_005]);
    expect(old.prewarm.warm(new UsageHistory(), 0).sandboxes).to.equal(2);
  });

  const wrong: Array<[string, RegExp]> = [
    ['prewarm: fixde', /nemo\.yaml:2:12: pool\.prewarm must be one of fixed, template, .*, not "fixde"$/],
    ['keepAlive: 5', /nemo\.yaml:2:14: /],
    ['keepAlive: 5 minutes', /nemo\.yaml:2:14: .*or a duration such as 60s, not "5 minutes"$/],
    ['keepAlive: { policy: lru, keepAlive: 5s }', /nemo\.yaml:2:29: unknown key "keepAlive"$/],
    ['keepAlive: { policy: ttl, keepAlive: 5 }', /nemo\.yaml:2:40: /],
    ['prewarm: { policy: reactive, max: -1 }', /nemo\.yaml:2:37: /],
    ['memory: lots', /nemo\.yaml:2:11: pool\.memory must be like 2Gi/],
  ];
  for (const [yaml, message] of wrong) {
    it(`says where "${yaml}" is wrong`, () => {
      let thrown: NemoError | undefined;
      try {
        pool(yaml);
      } catch (error) {
        thrown = error as NemoError;
      }
      expect(thrown?.code).to.equal('BAD_CONFIG');
      expect(thrown?.message).to.match(message);
    });
  }
});
