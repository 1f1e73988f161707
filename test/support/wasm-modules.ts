/**
 * Small WebAssembly modules for tests, assembled here from their parts so that no toolchain is needed. Each is given
 * beside its text form.
 */

export const I32 = 0x7f;
export const I64 = 0x7e;

const vector = (items: number[][]): number[] => [items.length, ...items.flat()];
export const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
export const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content];
export const body = (locals: number, code: number[]): number[] => {
  const all = [...(locals === 0 ? [0] : [1, locals, I32]), ...code, 0x0b];
  return [...leb(all.length), ...all];
};

export function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

interface Parts {
  types: Array<[parameters: number[], results: number[]]>;
  imports?: Array<[module: string, name: string, type: number]>;
  functions: number[];
  pages?: number;
  exports: Array<[name: string, kind: number, index: number]>;
  code: number[][];
  /** Put at 0. */
  data?: number[];
}

export function assemble({ types, imports = [], functions, pages = 1, exports, code, data }: Parts): Buffer {
  return Buffer.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector(types.map(([from, to]) => [0x60, from.length, ...from, to.length, ...to]))),
    ...(imports.length === 0
      ? []
      : section(2, vector(imports.map(([from, what, type]) => [...name(from), ...name(what), 0x00, type])))),
    ...section(3, vector(functions.map((type) => [type]))),
    ...section(5, vector([[0x00, ...leb(pages)]])),
    ...section(7, vector(exports.map(([what, kind, index]) => [...name(what), kind, index]))),
    ...section(10, vector(code)),
    ...(data === undefined
      ? []
      : section(11, vector([[0x00, 0x41, 0x00, 0x0b, ...vector(data.map((one) => [one]))]]))),
  ]);
}

export const WASI = 'wasi_snapshot_preview1';
const START = { types: [[[], []]] as Parts['types'], functions: [0] };
const startOnly = (code: number[], more: Partial<Parts> = {}): Buffer =>
  assemble({
    ...START,
    exports: [
      ['memory', 2, 0],
      ['_start', 0, 0],
    ],
    code: [body(0, code)],
    ...more,
  });

/** (func (export "_start")) */
export const NOOP_COMMAND = startOnly([]);
/** (loop (br 0)) */
export const ENDLESS = startOnly([0x03, 0x40, 0x0c, 0x00, 0x0b]);
/** (unreachable) */
export const TRAP = startOnly([0x00]);
/** (i32.store (i32.const 65534) (i32.const 1)): across the end of its memory. */
export const OUT_OF_BOUNDS = startOnly([0x41, 0xfe, 0xff, 0x03, 0x41, 0x01, 0x36, 0x02, 0x00]);
export const HUGE = startOnly([], { pages: 4_000 });
export const NO_EXPORT = assemble({ ...START, exports: [['memory', 2, 0]], code: [body(0, [])] });
/** Imports env.open, which nobody has. */
export const FOREIGN_IMPORT = assemble({
  ...START,
  imports: [['env', 'open', 0]],
  exports: [
    ['memory', 2, 0],
    ['_start', 0, 1],
  ],
  code: [body(0, [])],
});

/**
 * (loop (fd_read 0 iov) (if (i32.eqz n) return) (fd_write 1 iov') (br 0)): stdin to stdout, 32 KB at a time.
 * i32 at 0: { 64, 32768 }, at 16: { 64, n }, counts at 8 and 12.
 */
export const ECHO_COMMAND = assemble({
  types: [
    [[], []],
    [[I32, I32, I32, I32], [I32]],
  ],
  imports: [
    [WASI, 'fd_read', 1],
    [WASI, 'fd_write', 1],
  ],
  functions: [0],
  exports: [
    ['memory', 2, 0],
    ['_start', 0, 2],
  ],
  code: [
    body(0, [
      ...[0x41, 0x00, 0x41, 0xc0, 0x00, 0x36, 0x02, 0x00],
      ...[0x41, 0x04, 0x41, 0x80, 0x80, 0x02, 0x36, 0x02, 0x00],
      ...[0x41, 0x10, 0x41, 0xc0, 0x00, 0x36, 0x02, 0x00],
      ...[0x03, 0x40],
      ...[0x41, 0x00, 0x41, 0x00, 0x41, 0x01, 0x41, 0x08, 0x10, 0x00, 0x1a],
      ...[0x41, 0x08, 0x28, 0x02, 0x00, 0x45, 0x04, 0x40, 0x0f, 0x0b],
      ...[0x41, 0x14, 0x41, 0x08, 0x28, 0x02, 0x00, 0x36, 0x02, 0x00],
      ...[0x41, 0x01, 0x41, 0x10, 0x41, 0x01, 0x41, 0x0c, 0x10, 0x01, 0x1a],
      ...[0x0c, 0x00, 0x0b],
    ]),
  ],
});

/**
 * Adds 1 to the i32 at 0, which its data says is 41, and to that at 4, which is 0; puts its number of pages at 8, grows
 * by some, and writes the three.
 */
const tracesCommand = (grownPages: number): Buffer =>
  assemble({
    types: [
      [[], []],
      [[I32, I32, I32, I32], [I32]],
    ],
    imports: [[WASI, 'fd_write', 1]],
    functions: [0],
    exports: [
      ['memory', 2, 0],
      ['_start', 0, 1],
    ],
    code: [
      body(0, [
        ...[0x41, 0x00, 0x41, 0x00, 0x28, 0x02, 0x00, 0x41, 0x01, 0x6a, 0x36, 0x02, 0x00],
        ...[0x41, 0x04, 0x41, 0x04, 0x28, 0x02, 0x00, 0x41, 0x01, 0x6a, 0x36, 0x02, 0x00],
        ...[0x41, 0x08, 0x3f, 0x00, 0x36, 0x02, 0x00],
        ...[0x41, grownPages, 0x40, 0x00, 0x1a],
        ...[0x41, 0x14, 0x41, 0x0c, 0x36, 0x02, 0x00],
        ...[0x41, 0x01, 0x41, 0x10, 0x41, 0x01, 0x41, 0x18, 0x10, 0x00, 0x1a],
      ]),
    ],
    data: [41],
  });
export const TRACES_COMMAND = tracesCommand(0);
export const GROWING_COMMAND = tracesCommand(1);

/** Writes its environment, NUL-ended strings as they are, to stdout, and exits with the code at 8: its count. */
export const ENVIRONMENT_COMMAND = assemble({
  types: [
    [[], []],
    [[I32, I32, I32, I32], [I32]],
    [[I32, I32], [I32]],
  ],
  imports: [
    [WASI, 'environ_sizes_get', 2],
    [WASI, 'environ_get', 2],
    [WASI, 'fd_write', 1],
  ],
  functions: [0],
  exports: [
    ['memory', 2, 0],
    ['_start', 0, 3],
  ],
  code: [
    body(0, [
      // sizes: count at 8, bytes at 4 (the length of the vector at 0)
      ...[0x41, 0x08, 0x41, 0x04, 0x10, 0x00, 0x1a],
      // pointers at 4096, text at 8192
      ...[0x41, 0x80, 0x20, 0x41, 0x80, 0xc0, 0x00, 0x10, 0x01, 0x1a],
      ...[0x41, 0x00, 0x41, 0x80, 0xc0, 0x00, 0x36, 0x02, 0x00],
      ...[0x41, 0x01, 0x41, 0x00, 0x41, 0x01, 0x41, 0x0c, 0x10, 0x02, 0x1a],
    ]),
  ],
});

const REACTOR: Pick<Parts, 'types' | 'functions' | 'exports'> = {
  types: [
    [[I32], [I32]],
    [[I32, I32], [I64]],
  ],
  functions: [0, 1],
  exports: [
    ['memory', 2, 0],
    ['alloc', 0, 0],
    ['handle', 0, 1],
  ],
};
const ALLOC_AT_1024 = body(0, [0x41, 0x80, 0x08]);

/** handle returns what it was given: (i64.or (i64.shl (extend p) 32) (extend n)) */
export const ECHO_REACTOR = assemble({
  ...REACTOR,
  code: [ALLOC_AT_1024, body(0, [0x20, 0x00, 0xad, 0x42, 0x20, 0x86, 0x20, 0x01, 0xad, 0x84])],
});
/** handle adds 1 to the byte at 0 and returns that byte: state from call to call. */
export const COUNTER_REACTOR = assemble({
  ...REACTOR,
  code: [
    ALLOC_AT_1024,
    body(0, [0x41, 0x00, 0x41, 0x00, 0x28, 0x02, 0x00, 0x41, 0x01, 0x6a, 0x36, 0x02, 0x00, 0x42, 0x01]),
  ],
});
/** handle asks for 4,000 more pages and returns what memory.grow said, four bytes at 0. */
export const GROWING_REACTOR = assemble({
  ...REACTOR,
  code: [ALLOC_AT_1024, body(0, [0x41, 0x00, 0x41, 0xa0, 0x1f, 0x40, 0x00, 0x36, 0x02, 0x00, 0x42, 0x04])],
});
/** handle grows by 4,000 pages and writes to all of them: (memory.fill 0 1 262144000). */
export const FILLING_REACTOR = assemble({
  ...REACTOR,
  code: [
    ALLOC_AT_1024,
    body(0, [
      ...[0x41, 0xa0, 0x1f, 0x40, 0x00, 0x1a, 0x41, 0x00, 0x41, 0x01],
      ...[0x41, 0x80, 0x80, 0x80, 0xfd, 0x00, 0xfc, 0x0b, 0x00, 0x42, 0x00],
    ]),
  ],
});
/** handle says that its answer lies far outside of its memory. */
export const LYING_REACTOR = assemble({
  ...REACTOR,
  code: [ALLOC_AT_1024, body(0, [0x42, 0x7f])],
});

/** (i32.store (i32.const at) (i32.const value)) for each 4 bytes of a text. */
const storeText = (at: number, text: string): number[] => {
  const bytes = Buffer.from(text.padEnd(Math.ceil(text.length / 4) * 4, '\0'));
  const code: number[] = [];
  for (let i = 0; i < bytes.length; i += 4)
    code.push(0x41, ...signed(at + i), 0x41, ...signed(bytes.readInt32LE(i)), 0x36, 0x02, 0x00);
  return code;
};

/** Signed LEB128, as constants are written. */
function signed(value: number): number[] {
  const low = value & 127;
  const rest = value >> 7;
  return (rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0)
    ? [low]
    : [low | 128, ...signed(rest)];
}

const PATH_AT = 256;
const ANSWERS_AT = 1_024;
const SCRATCH_AT = 2_048;
export const i32 = (value: number): number[] => [0x41, ...signed(value)];
export const i64 = (value: number): number[] => [0x42, ...signed(value)];
export type Argument = [type: number, code: number[]];
export type WasiCall = readonly [name: string, ...args: Argument[]];
export const n = (value: number): Argument => [I32, i32(value)];
export const long = (value: number): Argument => [I64, i64(value)];

/**
 * Calls each function of WASI as told, in order, and answers with the error numbers as bytes: 0 is a success.
 * `/etc/shadow` stands at 256, and an i32 pair that names 64 bytes of free memory at 512.
 */
function wasiProbe(calls: readonly WasiCall[]): Buffer {
  const code = [...storeText(PATH_AT, '/etc/shadow'), ...i32(512), ...i32(SCRATCH_AT), 0x36, 0x02, 0x00];
  code.push(...i32(516), ...i32(64), 0x36, 0x02, 0x00);
  for (const [i, [, ...args]] of calls.entries()) {
    code.push(...i32(ANSWERS_AT + i), ...args.flatMap(([, push]) => push), 0x10, ...leb(i), 0x3a, 0x00, 0x00);
  }
  code.push(
    ...i32(520),
    ...i32(ANSWERS_AT),
    0x36,
    0x02,
    0x00,
    ...i32(524),
    ...i32(calls.length),
    0x36,
    0x02,
    0x00,
  );
  code.push(...i32(1), ...i32(520), ...i32(1), ...i32(528), 0x10, ...leb(calls.length), 0x1a);
  return callingWasi(calls, code);
}

/** A command that runs `code`, in which function `i` is that of the call `i`, and the one behind them `fd_write`. */
export function callingWasi(calls: readonly WasiCall[], code: number[]): Buffer {
  return assemble({
    types: [
      [[], []],
      [[I32, I32, I32, I32], [I32]],
      ...calls.map(([, ...args]): [number[], number[]] => [args.map(([type]) => type), [I32]]),
    ],
    imports: [
      ...calls.map(([what], i): [string, string, number] => [WASI, what, i + 2]),
      [WASI, 'fd_write', 1],
    ],
    functions: [0],
    exports: [
      ['memory', 2, 0],
      ['_start', 0, calls.length + 1],
    ],
    code: [body(0, code)],
  });
}

const open = (fd: number): [string, ...Argument[]] => [
  'path_open',
  ...[n(fd), n(1), n(PATH_AT), n(11), n(0), long(-1), long(-1), n(0), n(SCRATCH_AT)],
];

/** Ways to files, directories, sockets and other processes; none may succeed. */
export const WASI_ESCAPES = [
  ...[0, 1, 2, 3, 4, 5].map(open),
  ...[3, 4, 5, 6, 7].map((fd): [string, ...Argument[]] => ['fd_read', n(fd), n(512), n(1), n(SCRATCH_AT)]),
  ...[3, 4, 5, 6, 7].map((fd): [string, ...Argument[]] => ['fd_write', n(fd), n(512), n(1), n(SCRATCH_AT)]),
  ['fd_prestat_get', n(3), n(SCRATCH_AT)],
  ['fd_prestat_dir_name', n(3), n(SCRATCH_AT), n(64)],
  ['fd_readdir', n(3), n(SCRATCH_AT), n(64), long(0), n(SCRATCH_AT)],
  ['fd_pread', n(3), n(512), n(1), long(0), n(SCRATCH_AT)],
  ['fd_renumber', n(0), n(3)],
  ['path_symlink', n(PATH_AT), n(11), n(3), n(PATH_AT), n(11)],
  ['path_readlink', n(3), n(PATH_AT), n(11), n(SCRATCH_AT), n(64), n(SCRATCH_AT)],
  ['path_unlink_file', n(3), n(PATH_AT), n(11)],
  ['sock_accept', n(3), n(0), n(SCRATCH_AT)],
  ['sock_recv', n(3), n(512), n(1), n(0), n(SCRATCH_AT), n(SCRATCH_AT)],
  ['sock_send', n(3), n(512), n(1), n(0), n(SCRATCH_AT)],
  ['proc_raise', n(9)],
] as ReadonlyArray<readonly [string, ...Argument[]]>;

export const WASI_PROBE = wasiProbe(WASI_ESCAPES);

/** Counts its calls in its memory, and answers with the count. */
export const COUNTER_COMMAND = assemble({
  types: [
    [[], []],
    [[I32, I32, I32, I32], [I32]],
  ],
  imports: [[WASI, 'fd_write', 1]],
  functions: [0],
  exports: [
    ['memory', 2, 0],
    ['_start', 0, 1],
  ],
  code: [
    body(0, [
      ...[...i32(64), ...i32(64), 0x28, 0x02, 0x00, ...i32(1), 0x6a, 0x36, 0x02, 0x00],
      ...[...i32(0), ...i32(64), 0x36, 0x02, 0x00, ...i32(4), ...i32(1), 0x36, 0x02, 0x00],
      ...[...i32(1), ...i32(0), ...i32(1), ...i32(8), 0x10, 0x00, 0x1a],
    ]),
  ],
});

/** Writes 64 KiB from the last byte of its memory: what would stand behind it is its process's. */
export const READ_BEYOND = assemble({
  types: [
    [[], []],
    [[I32, I32, I32, I32], [I32]],
  ],
  imports: [[WASI, 'fd_write', 1]],
  functions: [0],
  exports: [
    ['memory', 2, 0],
    ['_start', 0, 1],
  ],
  code: [
    body(0, [
      ...[...i32(0), ...i32(65_535), 0x36, 0x02, 0x00, ...i32(4), ...i32(65_536), 0x36, 0x02, 0x00],
      ...[...i32(1), ...i32(0), ...i32(1), ...i32(8), 0x10, 0x00, 0x1a],
    ]),
  ],
});

/** Writes 64 KiB to its answer, again and again, without end. */
export const FLOODING_COMMAND = assemble({
  types: [
    [[], []],
    [[I32, I32, I32, I32], [I32]],
  ],
  imports: [[WASI, 'fd_write', 1]],
  functions: [0],
  exports: [
    ['memory', 2, 0],
    ['_start', 0, 1],
  ],
  code: [
    body(0, [
      ...[...i32(4), ...i32(32_768), 0x36, 0x02, 0x00, 0x03, 0x40],
      ...[...i32(1), ...i32(0), ...i32(1), ...i32(8), 0x10, 0x00, 0x1a, 0x0c, 0x00, 0x0b],
    ]),
  ],
});
