import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { parseCpuList } from '../../src/linux/process.js';
import { readTopology } from '../../src/linux/topology.js';

describe('core topology', () => {
  it('knows every online core, and sharing goes both ways', () => {
    const cores = readTopology();
    const online = parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'utf8'));
    expect(cores.filter((core) => core.online).map((core) => core.id)).to.deep.equal(online);
    for (const core of cores) {
      for (const other of [...core.siblings, ...core.llcSharers]) expect(other).not.to.equal(core.id);
      for (const other of core.llcSharers) {
        expect(cores.find(({ id }) => id === other)?.llcSharers).to.include(core.id);
      }
    }
  });
});
