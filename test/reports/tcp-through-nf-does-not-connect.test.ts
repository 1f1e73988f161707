/** A client's SYN left its host without a checksum, a long answer in segments of 64 KB: curl through an NF timed out. */

import { expect } from 'chai';
import { TrafficWorld } from '../support/traffic-world.js';

const SERVER = `require('node:http')
  .createServer((_, response) => response.end(Buffer.alloc(1e6)))
  .listen(8080, '::', () => console.log('ready'))`;

describe('report: real TCP through a reference NF does not connect', () => {
  it('nat: curl gets a long answer whole, with every offload on', async () => {
    const world = await TrafficWorld.create({ nf: 'nat' });
    try {
      await world.serve(process.execPath, ['-e', SERVER]);
      const format = '%{http_code} %{size_download}';
      const url = `http://${world.address(4)}:8080/`;
      const answer = await world.near.run('curl', [
        '-sS',
        '--max-time',
        '10',
        '-o',
        '/dev/null',
        '-w',
        format,
        url,
      ]);
      expect(answer).to.equal('200 1000000');
    } finally {
      await world.close();
    }
  });
});
