/** An agent that protects an NF (argv[2]: its instance as JSON, argv[3]: state directory), says so, and lives on. */

import type { NfInstance } from '../../../src/nf/profile.js';
import { NfProtection } from '../../../src/nf/protection.js';

const protection = await NfProtection.start(process.argv[3]!);
const report = protection.protect(JSON.parse(process.argv[2]!) as NfInstance);
process.stdout.write(`${JSON.stringify({ ...report, guardianPid: protection.guardianPid })}\n`);
process.stdin.on('end', async () => {
  await protection.close();
  process.exit(0);
});
process.stdin.resume();
