/**
 * A static program of 200 bytes that wants to be taken for Open vSwitch: its thread is called pmd-c01, its file as whoever
 * writes it likes. Run as root, which nobody ever should, it makes the file `marker`. x86-64 only.
 */

const LOAD_AT = 0x400000;
const HEADERS_BYTES = 64 + 56;

export const IMPOSTOR_RUNS_HERE = process.arch === 'x64';

export function impostorProgram(marker: string): Buffer {
  const syscall = [0x0f, 0x05];
  const eax = (value: number) => [0xb8, ...u32(value)];
  // lea reg, [rip + the distance to what stands behind the code]; filled in below
  const asRoot = (to: number) => [
    ...eax(2), // open(marker, O_CREAT | O_WRONLY, 0644)
    ...[0x48, 0x8d, 0x3d, ...u32(to)],
    ...[0xbe, ...u32(0x41)],
    ...[0xba, ...u32(0o644)],
    ...syscall,
    ...eax(60), // exit(0)
    ...[0x31, 0xff],
    ...syscall,
  ];
  const asOther = (to: number) => [
    ...eax(157), // prctl(PR_SET_NAME, "pmd-c01")
    ...[0xbf, ...u32(15)],
    ...[0x48, 0x8d, 0x35, ...u32(to)],
    ...syscall,
    ...eax(34), // pause() for ever
    ...syscall,
    ...[0xeb, 0xf7],
  ];
  const head = (skip: number) => [...eax(107), ...syscall, 0x85, 0xc0, 0x75, skip]; // if geteuid() != 0, skip
  const rootBytes = asRoot(0).length;
  const otherBytes = asOther(0).length;
  const codeBytes = head(0).length + rootBytes + otherBytes;
  const name = Buffer.from('pmd-c01\0');
  const nameAt = codeBytes;
  const markerAt = nameAt + name.length;
  const rootFrom = head(0).length;
  const otherFrom = rootFrom + rootBytes;
  const code = Buffer.from([
    ...head(rootBytes),
    ...asRoot(markerAt - (rootFrom + 5 + 7)),
    ...asOther(nameAt - (otherFrom + 5 + 5 + 7)),
  ]);
  const body = Buffer.concat([code, name, Buffer.from(`${marker}\0`)]);
  return Buffer.concat([elfHeaders(HEADERS_BYTES + body.length), body]);
}

function u32(value: number): number[] {
  return [...Buffer.from(Uint32Array.of(value).buffer)];
}

/** One segment, read and executed, with everything in it. */
function elfHeaders(bytes: number): Buffer {
  const headers = Buffer.alloc(HEADERS_BYTES);
  headers.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  headers.writeUInt16LE(2, 16); // ET_EXEC
  headers.writeUInt16LE(62, 18); // EM_X86_64
  headers.writeUInt32LE(1, 20);
  headers.writeBigUInt64LE(BigInt(LOAD_AT + HEADERS_BYTES), 24);
  headers.writeBigUInt64LE(64n, 32);
  headers.writeUInt16LE(64, 52);
  headers.writeUInt16LE(56, 54);
  headers.writeUInt16LE(1, 56);
  headers.writeUInt32LE(1, 64); // PT_LOAD
  headers.writeUInt32LE(5, 68); // readable, executable
  headers.writeBigUInt64LE(BigInt(LOAD_AT), 80);
  headers.writeBigUInt64LE(BigInt(LOAD_AT), 88);
  headers.writeBigUInt64LE(BigInt(bytes), 96);
  headers.writeBigUInt64LE(BigInt(bytes), 104);
  headers.writeBigUInt64LE(0x1000n, 112);
  return headers;
}
