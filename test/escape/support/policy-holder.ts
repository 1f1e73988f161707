/** Installs "packages" (argv[3...]) without starting services, with the policy at argv[2]; made to be killed meanwhile. */

import { run, withoutServiceStarts } from '../../../src/host/packages.js';

const { command, tidy } = await withoutServiceStarts(process.argv.slice(3), process.argv[2]);
await run(command[0]!, command.slice(1));
tidy();
