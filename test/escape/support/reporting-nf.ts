/**
 * Reports packets as an NF does, fast ones and slow ones, beside a /dev/shm that is full. argv[2]: since when; or beside
 * many files there that are called like reports of NFs that have ended: then it says how many stay.
 */

import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import { SharedLatencyWriter } from '../../../src/packet/shared-latency.js';

const PAGE_BYTES = 4096;

function fill(): void {
  try {
    for (;;) appendFileSync('/dev/shm/fill', Buffer.alloc(PAGE_BYTES));
  } catch {
    // That was the last page.
  }
}

if (process.argv[2] === 'many files') {
  for (let pid = 1e7; pid < 1e7 + 10_000; pid++) writeFileSync(`/dev/shm/nemo-nf-${pid}.latency`, '');
  SharedLatencyWriter.create().close();
  process.stdout.write(`${readdirSync('/dev/shm').length}\n`);
  process.exit(0);
}
if (process.argv[2] === 'before they start') fill();
const report = SharedLatencyWriter.create();
report.buckets.recordPacket(10_000, 1);
fill();
for (let latencyNs = 1; latencyNs < 1e10; latencyNs *= 2) report.buckets.recordPacket(latencyNs, 1);
report.doorbell.done(1);
report.close();
process.stdout.write('goes on\n');
