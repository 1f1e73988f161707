/**
 * The guest's one helper beside busybox and node, 245 bytes of ELF for x86-64. A machine that goes on from a snapshot
 * has the clock and the random numbers of that moment, as has every other one from it. Each message on stdin is a
 * time and 32 random bytes: the clock is set, the bytes go into the kernel's pool, the pool is asked for a new key, and
 * one byte says that it is done. The jump of the clock makes OpenSSL in node draw a new seed too.
 */

import { Buffer } from 'node:buffer';
import { randomFillSync } from 'node:crypto';

const CODE = `
  b802000000 488d3d64000000 be02000000 0f05  open("/dev/urandom", O_RDWR)
  4189c4 4883ec40                            fd -> r12d; 64 bytes of stack
  31c0 31ff 4889e6 ba38000000 0f05           again: read(0, rsp, 56)
  4883f838 75ec                              not a whole message: again
  b8e3000000 31ff 4889e6 0f05                clock_settime(CLOCK_REALTIME, rsp)
  b810000000 4489e7 be03520840 488d542410 0f05  ioctl(r12d, RNDADDENTROPY, rsp + 16)
  b810000000 4489e7 be07520000 0f05          ioctl(r12d, RNDRESEEDCRNG)
  b801000000 31ff 4889e6 ba01000000 0f05     write(0, rsp, 1)
  ebaa                                       again
  2f6465762f7572616e646f6d00                 "/dev/urandom"`;

const BASE = 0x400000;
const HEADERS_BYTES = 120;
const MESSAGE_BYTES = 56;
const ENTROPY_BYTES = 32;

export function syncProgram(): Buffer {
  const code = Buffer.from(
    (CODE.match(/^ {2}(?:[0-9a-f]+ ?)+(?= |$)/gm) ?? []).join('').replaceAll(' ', ''),
    'hex',
  );
  const header = Buffer.alloc(HEADERS_BYTES);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(62, 18); // x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(BASE + HEADERS_BYTES), 24); // entry
  header.writeBigUInt64LE(64n, 32); // program headers
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64); // load the whole file,
  header.writeUInt32LE(5, 68); // to read and execute
  header.writeBigUInt64LE(BigInt(BASE), 80);
  header.writeBigUInt64LE(BigInt(BASE), 88);
  header.writeBigUInt64LE(BigInt(HEADERS_BYTES + code.length), 96);
  header.writeBigUInt64LE(BigInt(HEADERS_BYTES + code.length), 104);
  header.writeBigUInt64LE(4096n, 112);
  return Buffer.concat([header, code]);
}

/** `struct timespec`, then `struct rand_pool_info` with its bytes. */
export function syncMessage(nowMs: number): Buffer {
  const message = Buffer.alloc(MESSAGE_BYTES);
  message.writeBigInt64LE(BigInt(Math.floor(nowMs / 1_000)), 0);
  message.writeBigInt64LE(BigInt(Math.round((nowMs % 1_000) * 1e6)), 8);
  message.writeInt32LE(ENTROPY_BYTES * 8, 16);
  message.writeInt32LE(ENTROPY_BYTES, 20);
  randomFillSync(message, 24);
  return message;
}
