/** `--capture` of the demo and the bench: a capture that cannot be replayed is refused before anything is started. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const NEMO = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const ABSENT = '/absent.pcapng';

describe('captures of the user', () => {
  const refusals: Array<[what: string, message: RegExp, ...args: string[]]> = [
    ['demo: one that is not there', /\/absent\.pcapng.*\[NOT_FOUND\]/s, 'demo', '--capture', ABSENT],
    ['demo: what is not a capture', /not a pcap or pcapng file.*\[BAD_CAPTURE\]/s, 'demo', '--capture', NEMO],
    [
      'bench: one that is not there',
      /\/absent\.pcapng.*\[NOT_FOUND\]/s,
      ...['bench', '--scenario', 'replay', '--capture', ABSENT],
    ],
    [
      'bench: one that no scenario replays',
      /none of these scenarios replays a capture/,
      ...['bench', '--scenario', 'quick', '--capture', ABSENT],
    ],
  ];
  for (const [what, message, ...args] of refusals) {
    it(what, () => {
      const { status, stderr } = spawnSync(process.execPath, [NEMO, ...args], { encoding: 'utf8' });
      expect(stderr).to.match(message);
      expect(status).to.equal(1);
    });
  }
});
