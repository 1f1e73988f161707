/** An agent that protects an NF (argv[2]: its instance as JSON, argv[3]: state directory, argv[4]: its `oom_score_adj`), says so, and lives on. */

import type { NfInstance } from '../../../src/model/nf-profile.js';
import { NfProtection } from '../../../src/nf/protection.js';
import { NF } from '../../../src/tunables/index.js';

const protection = await NfProtection.start(process.argv[3]!, {}, Number(process.argv[4] ?? NF.oomScoreAdj));
const report = protection.protect(JSON.parse(process.argv[2]!) as NfInstance);
process.stdout.write(`${JSON.stringify({ ...report, guardianPid: protection.guardianPid })}\n`);
process.stdin.on('end', async () => {
  await protection.close();
  process.exit(0);
});
process.stdin.resume();
