/**
 * A library of one function for QEMU to load first: `open64` of the path `snapshot` gives a copy of descriptor 6 as it
 * is, instead of opening the file once more for writing, which QEMU before 8.2 always does. So a machine can map a
 * snapshot's file privately and has no way to write to it: the descriptor is for reading, and the file root's alone.
 */

const CODE = `
  803f73 7529                                first byte 's', or on to the real one
  48b8736e617073686f74 483907 751a           "snapshot"
  807f0800 7514                              and no more
  b848000000 bf06000000 be06040000 31d2      fcntl(6, F_DUPFD_CLOEXEC, 0)
  0f05 c3
  ff25`;

/** What QEMU is told to open. */
export const MEMORY_PATH = 'snapshot';

const PAGE = 0x1000;
const HEADERS_BYTES = 64 + 4 * 56;
const SYMBOL_BYTES = 24;
const NAMES = '\0__open64\0open64\0';
const DYNAMIC_ENTRIES = 9;
const GLOB_DAT = 6;
const [LOAD, DYNAMIC, STACK] = [1, 2, 0x6474e551];
const [READ_EXECUTE, READ_WRITE] = [5, 6];

/** ELF for x86-64: a page to read and execute, then one with the address of libc's own, which is filled in. */
export function memoryLibrary(): Buffer {
  const code = Buffer.from(
    (CODE.match(/^ {2}(?:[0-9a-f]+ ?)+(?= |$)/gm) ?? []).join('').replaceAll(' ', ''),
    'hex',
  );
  const hashAt = HEADERS_BYTES;
  const symbolsAt = hashAt + 24;
  const namesAt = symbolsAt + 3 * SYMBOL_BYTES;
  const relocationAt = Math.ceil((namesAt + NAMES.length) / 8) * 8;
  const codeAt = relocationAt + 24;
  const slotAt = PAGE + DYNAMIC_ENTRIES * 16;
  const file = Buffer.alloc(slotAt + 8);

  file.write('\x7fELF\x02\x01\x01', 'latin1');
  file.writeUInt16LE(3, 16); // shared
  file.writeUInt16LE(62, 18); // x86-64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(64n, 32); // program headers
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(4, 56);
  const segment = (index: number, type: number, flags: number, at: number, bytes: number): void => {
    const to = 64 + index * 56;
    file.writeUInt32LE(type, to);
    file.writeUInt32LE(flags, to + 4);
    for (const field of [8, 16, 24]) file.writeBigUInt64LE(BigInt(at), to + field);
    for (const field of [32, 40]) file.writeBigUInt64LE(BigInt(bytes), to + field);
    file.writeBigUInt64LE(BigInt(type === LOAD ? PAGE : 8), to + 48);
  };
  segment(0, LOAD, READ_EXECUTE, 0, codeAt + code.length + 4);
  segment(1, LOAD, READ_WRITE, PAGE, file.length - PAGE);
  segment(2, DYNAMIC, READ_WRITE, PAGE, DYNAMIC_ENTRIES * 16);
  segment(3, STACK, READ_WRITE, 0, 0);

  // One bucket of the two symbols.
  for (const [i, word] of [1, 3, 1, 0, 2, 0].entries()) file.writeUInt32LE(word, hashAt + i * 4);
  const symbol = (index: number, name: string, section: number, at: number): void => {
    const to = symbolsAt + index * SYMBOL_BYTES;
    file.writeUInt32LE(NAMES.indexOf(`\0${name}\0`) + 1, to);
    file[to + 4] = 0x12; // a global function
    file.writeUInt16LE(section, to + 6);
    file.writeBigUInt64LE(BigInt(at), to + 8);
  };
  symbol(1, '__open64', 0, 0);
  symbol(2, 'open64', 1, codeAt);
  file.write(NAMES, namesAt, 'latin1');
  file.writeBigUInt64LE(BigInt(slotAt), relocationAt);
  file.writeBigUInt64LE((1n << 32n) | BigInt(GLOB_DAT), relocationAt + 8);
  code.copy(file, codeAt);
  // The jump goes through the slot, seen from its own end.
  file.writeInt32LE(slotAt - (codeAt + code.length + 4), codeAt + code.length);

  // Hash, names, symbols, size of names and of a symbol, the relocation, its size, and a relocation's size.
  const tags = [4, 5, 6, 10, 11, 7, 8, 9];
  const values = [hashAt, namesAt, symbolsAt, NAMES.length, SYMBOL_BYTES, relocationAt, 24, 24];
  for (const [i, tag] of tags.entries()) {
    file.writeBigUInt64LE(BigInt(tag), PAGE + i * 16);
    file.writeBigUInt64LE(BigInt(values[i]!), PAGE + i * 16 + 8);
  }
  return file;
}
