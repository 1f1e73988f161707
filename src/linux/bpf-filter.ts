/** Classic BPF filters of packet sockets: the kernel drops what does not pass before it copies anything. */

import koffi from 'koffi';
import { check, setsockopt } from './libc.js';

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;

/** One classic BPF instruction: { u16 code, u8 jt, u8 jf, u32 k }. */
export type BpfInstruction = readonly [code: number, jt: number, jf: number, k: number];

/** struct sock_fprog points to its instructions, so these need memory with an address of their own. */
export function attachFilter(fd: number, filter: readonly BpfInstruction[], name: string): void {
  const length = filter.length * 8;
  const pointer = koffi.alloc('uint8_t', length);
  try {
    const code = new DataView(koffi.view(pointer, length) as ArrayBuffer);
    filter.forEach(([opcode, jt, jf, k], i) => {
      code.setUint16(i * 8, opcode, true);
      code.setUint8(i * 8 + 2, jt);
      code.setUint8(i * 8 + 3, jf);
      code.setUint32(i * 8 + 4, k >>> 0, true);
    });
    const program = new DataView(new ArrayBuffer(16));
    program.setUint16(0, filter.length, true);
    program.setBigUint64(8, koffi.address(pointer), true);
    const bytes = new Uint8Array(program.buffer);
    check(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, bytes, 16), 'setsockopt(SO_ATTACH_FILTER)', name);
  } finally {
    koffi.free(pointer);
  }
}
