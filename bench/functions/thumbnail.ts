/** Decodes a PNG of 320 x 200, halves it twice by averaging, and encodes the small one. */

import { PNG } from 'pngjs';

function picture(width: number, height: number): PNG {
  const png = new PNG({ width, height });
  for (let at = 0; at < png.data.length; at += 4) {
    const pixel = at >> 2;
    png.data.writeUInt32BE(((pixel * 2_654_435_761) >>> 0) | 0xff, at);
  }
  return png;
}

function half(from: PNG): PNG {
  const to = new PNG({ width: from.width >> 1, height: from.height >> 1 });
  const row = from.width * 4;
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < to.width * 4; x++) {
      const at = y * 2 * row + (x >> 2) * 8 + (x & 3);
      const sum = from.data[at]! + from.data[at + 4]! + from.data[at + row]! + from.data[at + row + 4]!;
      to.data[y * to.width * 4 + x] = sum >> 2;
    }
  }
  return to;
}

const source = PNG.sync.write(picture(320, 200));

export default async (): Promise<{ bytes: number }> => {
  const small = half(half(PNG.sync.read(source)));
  return { bytes: PNG.sync.write(small).length };
};
