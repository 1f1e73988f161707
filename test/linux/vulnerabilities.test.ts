import { readdirSync } from 'node:fs';
import { expect } from 'chai';
import { openVulnerabilities, readVulnerabilities } from '../../src/host/vulnerabilities.js';

describe('faults of the processor', () => {
  it('are those that the kernel calls vulnerable, and apart from them those by siblings only', () => {
    const all = {
      gather_data_sampling: 'Vulnerable: No microcode',
      itlb_multihit: 'Processor vulnerable',
      l1tf: 'Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable',
      mds: 'Mitigation: Clear CPU buffers; SMT vulnerable',
      meltdown: 'Mitigation: PTI',
      retbleed: 'Not affected',
      spectre_v2: 'Mitigation: Retpolines; STIBP: disabled; RSB filling',
      tsx_async_abort: 'Unknown: No mitigations',
    };
    expect(openVulnerabilities(all)).to.deep.equal({
      open: ['gather_data_sampling', 'itlb_multihit'],
      smt: ['l1tf', 'mds'],
    });
  });

  it('are read from this kernel', () => {
    const names = readdirSync('/sys/devices/system/cpu/vulnerabilities').sort();
    expect(Object.keys(readVulnerabilities())).to.deep.equal(names);
    expect(readVulnerabilities('/nowhere')).to.deep.equal({});
  });
});
