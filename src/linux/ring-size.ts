/** The sizes of a packet socket's rings. The kernel allocates them in blocks of contiguous pages; slots never cross one. */

import { NemoError } from '../model/errors.js';

const BLOCK_BYTES = 65_536;

export interface RingSize {
  /** Rounded up to fill the ring's last block. */
  slots: number;
  /** Header and frame: a power of two, 256 to 65536. A frame may be 80 bytes shorter than that. */
  slotBytes: number;
}

/** The same with its last block filled. Throws BAD_CONFIG for an impossible size. */
export function wholeBlocks(ring: RingSize): RingSize {
  const { slots, slotBytes } = ring;
  const powerOfTwo = Number.isInteger(slotBytes) && (slotBytes & (slotBytes - 1)) === 0;
  if (!powerOfTwo || slotBytes < 256 || slotBytes > BLOCK_BYTES || !(slots >= 1)) {
    throw new NemoError('BAD_CONFIG', `a ring of ${slots} slots of ${slotBytes} bytes cannot be made`, {
      hint: 'slotBytes must be a power of two from 256 to 65536, slots at least 1',
    });
  }
  const perBlock = BLOCK_BYTES / slotBytes;
  return { slots: Math.ceil(slots / perBlock) * perBlock, slotBytes };
}

export function ringBytes(ring: RingSize | undefined): number {
  return ring === undefined ? 0 : ring.slots * ring.slotBytes;
}

/** struct tpacket_req: block size, blocks, frame size, frames. */
export function ringRequest(ring: RingSize): number[] {
  return [BLOCK_BYTES, ringBytes(ring) / BLOCK_BYTES, ring.slotBytes, ring.slots];
}
