/** Reported: DPDK's forwarder of before 20.11, `testpmd` with threads `lcore-slave-1`, is not seen. */

import { expect } from 'chai';
import { compileRules, judge } from '../../src/nf/match.js';
import { BUILTIN_PROFILES, loadProfiles } from '../../src/nf/profiles.js';

describe('report: DPDK and Open vSwitch of years ago', () => {
  const rules = compileRules(loadProfiles([BUILTIN_PROFILES]), [], true, () => undefined);
  for (const [name, thread, profile] of [
    ['testpmd', 'lcore-slave-1', 'dpdk-testpmd'],
    ['dpdk-testpmd', 'lcore-worker-1', 'dpdk-testpmd'],
    ['dpdk-testpmd', 'rte-worker-1', 'dpdk-testpmd'],
    ['dpdk-testpmd', 'dpdk-worker1', 'dpdk-testpmd'],
    ['ovs-vswitchd', 'pmd8', 'ovs-vswitchd'],
    ['ovs-vswitchd', 'pmd-c01/id:8', 'ovs-vswitchd'],
  ] as const) {
    it(`${name} with a thread ${thread} is found, and its packet threads are`, () => {
      const candidate = {
        pid: 1,
        startTicks: 1,
        distrust: () => undefined,
        name,
        exe: () => name,
        args: () => name,
        threadNames: () => [name, thread],
      };
      const rule = rules.find((one) => judge(one, candidate) === 'yes');
      expect(rule?.profile.name).to.equal(profile);
      expect(rule!.packetThreads).to.satisfy(
        (pattern: RegExp) => pattern.test(thread) && !pattern.test(name),
      );
    });
  }
});
