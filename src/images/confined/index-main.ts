/** stdin is an archive of an image, a regular file. Prints name, offset and size of each of its files as JSON. */

import { COMPLAINT, STARTED } from '../../confinement/confined/protocol.js';
import { indexTar } from '../tar-index.js';

process.stdout.write(STARTED);
try {
  process.stdout.write(JSON.stringify(indexTar(0)));
} catch (error) {
  process.stderr.write(`${COMPLAINT}${(error as Error).message.slice(0, 200)}\n`);
  process.exitCode = 4;
}
