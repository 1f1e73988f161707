/**
 * Just enough of an assembler for classic BPF over `struct seccomp_data`. A check is a small run of instructions
 * that falls through when it does not apply, so a jump crosses no more than its own check.
 */

const LOAD_WORD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const AND = 0x54;
const RETURN = 0x06;

/** Offsets in `struct seccomp_data { int nr; u32 arch; u64 ip; u64 args[6]; }`, little endian. */
export const DATA_NR = 0;
export const DATA_ARCH = 4;
export const argumentLow = (index: number) => 16 + 8 * index;

export type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

export const load = (offset: number): Instruction => [LOAD_WORD, 0, 0, offset];
export const and = (mask: number): Instruction => [AND, 0, 0, mask];
export const ret = (action: number): Instruction => [RETURN, 0, 0, action];

/** Runs `then` if the accumulator equals one of `values`, else skips it. */
export const whenOneOf = (values: readonly number[], then: readonly Instruction[]): Instruction[] => [
  ...values.map((value, i): Instruction => {
    const left = values.length - 1 - i;
    return [JUMP_EQUAL, near(left), left === 0 ? distance(then) : 0, value];
  }),
  ...then,
];
export const whenAtLeast = (value: number, then: readonly Instruction[]): Instruction[] => [
  [JUMP_GREATER_EQUAL, 0, distance(then), value],
  ...then,
];
export const whenLess = (value: number, then: readonly Instruction[]): Instruction[] => [
  [JUMP_GREATER_EQUAL, distance(then), 0, value],
  ...then,
];
export const unlessEqual = (value: number, then: readonly Instruction[]): Instruction[] => [
  [JUMP_EQUAL, distance(then), 0, value],
  ...then,
];

function distance(block: readonly Instruction[]): number {
  return near(block.length);
}

function near(instructions: number): number {
  if (instructions > 255) throw new RangeError(`a BPF jump over ${instructions} instructions`);
  return instructions;
}

/** `struct sock_filter[]`: u16 code, u8 jt, u8 jf, u32 k. */
export function assemble(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, ifTrue, ifFalse, value], i) => {
    bytes.writeUInt16LE(code, i * 8);
    bytes[i * 8 + 2] = ifTrue;
    bytes[i * 8 + 3] = ifFalse;
    bytes.writeUInt32LE(value >>> 0, i * 8 + 4);
  });
  return bytes;
}
