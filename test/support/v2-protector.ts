/** An agent in the v2 guest that protects an NF (argv[2]: its instance as JSON, argv[3]: state directory), names its guardian, and lives on. */

import type { NfInstance } from '../../src/model/nf-profile.js';
import { NfProtection } from '../../src/nf/protection.js';

const protection = await NfProtection.start(process.argv[3]!);
protection.protect(JSON.parse(process.argv[2]!) as NfInstance);
process.stdout.write(`${protection.guardianPid}\n`);
process.stdin.resume();
