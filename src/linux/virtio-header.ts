/**
 * struct virtio_net_hdr, which PACKET_VNET_HDR puts before a frame: what the sender left to hardware. Easy to get wrong:
 * its numbers are in the order of this machine's bytes, and its offsets are those of the frame without its outer VLAN tag.
 *
 *   flags u8 | gso_type u8 | hdr_len u16 | gso_size u16 | csum_start u16 | csum_offset u16
 */

export const VIRTIO_HEADER_BYTES = 10;
/** From `csumStart` on, with the field that holds the pseudo header's sum. */
const NEEDS_CHECKSUM = 1;
/** Flags and type as one little-endian number: a checksum, or any kind of segmentation. */
export const FLAGS_LEFT_TO_HARDWARE = 0xff00 | NEEDS_CHECKSUM;
/** Beside the type: the flow uses explicit congestion notification. */
const GSO_ECN = 0x80;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;

export class VirtioHeader {
  needsChecksum = false;
  gsoType = GSO_NONE;
  /** Bytes of payload in each segment. */
  gsoSize = 0;
  checksumStart = 0;
  /** From `checksumStart`. */
  checksumOffset = 0;

  read(bytes: Uint8Array, at: number): void {
    this.needsChecksum = (bytes[at]! & NEEDS_CHECKSUM) !== 0;
    this.gsoType = bytes[at + 1]! & ~GSO_ECN;
    this.gsoSize = bytes[at + 4]! | (bytes[at + 5]! << 8);
    this.checksumStart = bytes[at + 6]! | (bytes[at + 7]! << 8);
    this.checksumOffset = bytes[at + 8]! | (bytes[at + 9]! << 8);
  }
}
