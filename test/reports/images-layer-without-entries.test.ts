import { readdirSync } from 'node:fs';
import { expect } from 'chai';
import { Layers } from '../support/layers.js';
import { tarOf } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';

/** `WORKDIR`, Bazel and kaniko make layers in which nothing is. They were "damaged". */
describe('a layer without entries', () => {
  const layers = new Layers();
  after(() => layers.close());
  const rest = Buffer.from('not a tar '.repeat(200));

  for (const [what, bytes] of Object.entries({
    'of no byte': Buffer.alloc(0),
    'of one block of zeros': Buffer.alloc(512),
    'of the two blocks that end a tar': Buffer.alloc(1_024),
    'as GNU tar pads it': Buffer.alloc(10_240),
    'with something behind its end, which nobody reads': Buffer.concat([Buffer.alloc(1_024), rest]),
  }))
    it(`is a layer: ${what}`, async () => {
      expect(await layers.together([[{ path: 'kept' }], bytes], (root) => readdirSync(root))).to.include(
        'kept',
      );
    });

  it('is not one if it is something else, of whatever length', async () => {
    for (const length of [1, 511, 512, 1_023, 1_024, 2_000])
      expect((await errorOf(layers.apply(rest.subarray(0, length)))).message, `${length}`).to.match(
        /not a tar|damaged|checksum|TAR_/i,
      );
  });

  it('of one entry and nothing that ends it is read too', async () => {
    const short = tarOf([{ path: 'short' }]).subarray(0, 512);
    expect(await layers.together([short], (root) => readdirSync(root))).to.include('short');
  });
});
