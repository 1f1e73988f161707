/** A reference NF as a process of a test bed. Its only argument is its options in JSON; it reports in JSON lines. */

import { asNemoError } from '../model/errors.js';
import { becomeNf, type NfProcessOptions } from './nf-process.js';
import { writeLine } from './nf-runtime.js';

try {
  const options = JSON.parse(process.argv[2] ?? '{}') as NfProcessOptions;
  becomeNf({ ...options, onReady: () => writeLine('{"ready":true}') });
} catch (thrown) {
  const error = asNemoError(thrown);
  writeLine(JSON.stringify(error));
  process.exitCode = error.blame === 'user' ? 1 : 2;
}
