/** What an NF tells of itself on its telemetry socket. */

import { expect } from 'chai';
import fc from 'fast-check';
import { NemoError } from '../../src/model/errors.js';
import { counter, parseAnswer } from '../../src/nf/telemetry/adapter.js';
import { readPmdStats } from '../../src/nf/telemetry/ovs.js';
import { TELEMETRY } from '../../src/tunables/index.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { hostileObject } from './support/hostile-bytes.js';

const FIGURES = ['packets received', 'miss with failed upcall', 'processing cycles', 'idle cycles'];
const figure = fc.oneof(
  fc.nat().map(String),
  fc.constantFrom('-1', '1e9', '99999999999999999999999999', 'NaN', '', '0x10', '18446744073709551615'),
);
const statsLine = fc.oneof(
  fc
    .tuple(fc.constantFrom('', ' ', '  ', '\t'), fc.constantFrom(...FIGURES), figure)
    .map(([space, name, value]) => `${space}${name}: ${value}`),
  fc.constantFrom('pmd thread numa_id 0 core_id 1:', 'main thread:', '', '   ', 'cycles:'),
  fc.string({ maxLength: 30 }),
);

/** BAD_TELEMETRY, or what `read` gives. */
function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    expect(thrown).to.be.instanceOf(NemoError).with.property('code', 'BAD_TELEMETRY');
    expect((thrown as NemoError).message.length).to.be.at.most(210);
    return undefined;
  }
}

describe('hostile messages of an NF', function () {
  this.timeout(FUZZ_TIMEOUT_MS);

  it('hostile messages of Open vSwitch: counts that are numbers, or BAD_TELEMETRY', () => {
    const text = fc.array(statsLine, { maxLength: 20 }).map((lines) => lines.join('\n'));
    fuzz(text, (told) => {
      const counters = refusedOr(() => readPmdStats(told));
      if (counters === undefined) return true;
      return Object.values(counters).every((value) => Number.isFinite(value) && value! >= 0);
    });
  });

  it('hostile messages of Open vSwitch: as many empty lines as fit cost no more than a look', () => {
    const empty = `pmd thread numa_id 0 core_id 1:\n${'\n'.repeat(TELEMETRY.answerMaxBytes)}`;
    const spaces = `pmd thread numa_id 0 core_id 1:\n${' '.repeat(TELEMETRY.answerMaxBytes)}`;
    // Looked at from each of them it would take seconds apiece, and this test's whole time.
    for (let i = 0; i < 5; i++)
      for (const told of [empty, spaces]) expect(refusedOr(() => readPmdStats(told))).to.equal(undefined);
  }).timeout(15_000);

  it('hostile messages of DPDK: an object whose counts are numbers, or BAD_TELEMETRY', () => {
    const names = ['pid', 'ipackets', 'imissed', 'rx_nombuf', 'oerrors', '/ethdev/list'];
    fuzz(fc.oneof(hostileObject(names), fc.string({ maxLength: 80 }), fc.json()), (told) => {
      const answer = refusedOr(() => parseAnswer(told, '/socket'));
      if (answer === undefined) return true;
      return names.every((name) => {
        const value = refusedOr(() => counter(answer[name], name));
        return value === undefined || (Number.isFinite(value * 1e6) && value >= 0);
      });
    });
  });
});
