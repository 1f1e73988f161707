/** Makes a test bed with traffic in it, says which processes are in it, and waits to be killed. */

import { createTestbed } from '../../../src/lab/testbed.js';

const bed = await createTestbed({ nfProfile: 'firewall', mode: 'poll', cpu: 1, housekeepingCpu: 0 });
await bed.traffic.run({ kind: 'rate', packetsPerS: 1000 });
console.log(JSON.stringify([bed.nfPid, bed.traffic.pid, bed.trafficNamespace.pid, bed.nfNamespace.pid]));
