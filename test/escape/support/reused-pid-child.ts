/**
 * Runs in a pid namespace of its own, where it can choose the next pid: a sandbox ends while its network is being opened,
 * and an NF gets its pid. One line of JSON: whether the NF's namespace was touched.
 */

import { writeFileSync } from 'node:fs';
import { openCgroupDriver } from '../../../src/linux/cgroup/open.js';
import { routeTo } from '../../../src/linux/netlink.js';
import { insideNamespace } from '../../../src/linux/netns.js';
import { Egress } from '../../../src/network/egress.js';
import { openNetworkNamespace } from '../../../src/network/namespace-of.js';
import { end, startAs, startInOwnNamespace } from './next-pid.js';

const driver = openCgroupDriver({ rootName: `nemo-test-reused-${process.argv[2]}`, idle: false });
const egress = new Egress();
try {
  const group = driver.create('sandbox', {});
  const sandbox = await startInOwnNamespace();
  for (const path of group.joinPaths) writeFileSync(path, String(sandbox.pid));
  const namespace = openNetworkNamespace(group)!;
  await end(sandbox);
  const nf = await startAs(sandbox.pid!, startInOwnNamespace);
  await egress.attach({ id: 'sb-0', functionKey: 'f', namespace, rules: ['10.9.0.0/16:7001'] });
  const touched = insideNamespace(`/proc/${nf.pid}/ns/net`, () => routeTo('10.9.0.1').kind === 'local');
  await end(nf);
  process.stdout.write(`${JSON.stringify({ reused: nf.pid === sandbox.pid, touched })}\n`);
} finally {
  await egress.close();
  await driver.removeAll();
}
process.exit(0);
