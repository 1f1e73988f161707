/**
 * Every function of WASI preview 1 (wasi_snapshot_preview1, as its witx file lists them): it works, or answers with the
 * error number that docs/engines.md names. One line a rule. The three standard streams are 0, 1 and 2; 3 is nothing.
 */

import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { ERRNO } from '../../src/runner/wasm/errno.js';
import { WASI_FUNCTIONS } from '../../src/runner/wasm/preview1.js';
import { call, errorOf, SandboxBench } from '../support/sandboxes.js';
import {
  addI64,
  runSession,
  type Session,
  type Step,
  storeI32,
  storeI64,
  wasiSession,
} from '../support/wasi-session.js';
import { long, n, type WasiCall } from '../support/wasm-modules.js';

const { success, badf, inval, nosys, notdir, notsock, notsup, spipe } = ERRNO;
/** A vector of one part: 16 bytes at BUFFER. */
const VECTOR = 64;
const BUFFER = 1_024;
/** Where a call puts what it tells. */
const OUT = 2_048;

type Rule = readonly [
  what: string,
  errno: number,
  call: WasiCall,
  tells?: (memory: Buffer) => unknown,
  right?: unknown,
];

const RULES: Rule[] = [
  [
    'args_sizes_get: one argument, the name of the function',
    success,
    ['args_sizes_get', n(OUT), n(OUT + 4)],
    (m) => [m.readInt32LE(OUT), m.readInt32LE(OUT + 4)],
    [1, 6],
  ],
  [
    'args_get',
    success,
    ['args_get', n(OUT + 8), n(OUT + 16)],
    (m) => m.toString('latin1', m.readInt32LE(OUT + 8), m.readInt32LE(OUT + 8) + 6),
    'probe\0',
  ],
  [
    'environ_sizes_get',
    success,
    ['environ_sizes_get', n(OUT + 32), n(OUT + 36)],
    (m) => m.readInt32LE(OUT + 32) > 1 && m.readInt32LE(OUT + 36) > 10,
    true,
  ],
  [
    'environ_get',
    success,
    ['environ_get', n(3_072), n(4_096)],
    (m) => m.toString('latin1', 4_096, 5_000).includes('LEVEL=debug\0'),
    true,
  ],
  [
    'clock_res_get of the wall clock',
    success,
    ['clock_res_get', n(0), n(OUT + 40)],
    (m) => m.readBigUInt64LE(OUT + 40) > 0n,
    true,
  ],
  ['clock_res_get of the monotonic clock', success, ['clock_res_get', n(1), n(OUT + 40)]],
  ['clock_res_get of a clock of CPU time, which is not there', inval, ['clock_res_get', n(2), n(OUT + 40)]],
  [
    'clock_time_get of the wall clock: since 1970',
    success,
    ['clock_time_get', n(0), long(0), n(OUT + 48)],
    (m) => Math.abs(Number(m.readBigUInt64LE(OUT + 48)) / 1e6 - Date.now()) < 600_000,
    true,
  ],
  [
    'clock_time_get of the monotonic clock',
    success,
    ['clock_time_get', n(1), long(0), n(OUT + 56)],
    (m) => m.readBigUInt64LE(OUT + 56) > 0n,
    true,
  ],
  ['clock_time_get of the process', inval, ['clock_time_get', n(2), long(0), n(OUT + 64)]],
  ['clock_time_get of the thread', inval, ['clock_time_get', n(3), long(0), n(OUT + 64)]],
  ['fd_advise of a stream', spipe, ['fd_advise', n(0), long(0), long(0), n(0)]],
  ['fd_advise of what is not open', badf, ['fd_advise', n(3), long(0), long(0), n(0)]],
  ['fd_allocate of a stream', spipe, ['fd_allocate', n(1), long(0), long(1)]],
  ['fd_allocate of what is not open', badf, ['fd_allocate', n(3), long(0), long(1)]],
  ['fd_datasync of a stream', inval, ['fd_datasync', n(1)]],
  ['fd_datasync of what is not open', badf, ['fd_datasync', n(3)]],
  [
    'fd_fdstat_get of stdin: of no kind of file, may be read',
    success,
    ['fd_fdstat_get', n(0), n(OUT + 128)],
    (m) => [m[OUT + 128], m.readBigUInt64LE(OUT + 136) & 0x42n],
    [0, 0x02n],
  ],
  [
    'fd_fdstat_get of stdout: no terminal, may be written',
    success,
    ['fd_fdstat_get', n(1), n(OUT + 160)],
    (m) => [m[OUT + 160], m.readBigUInt64LE(OUT + 168) & 0x42n],
    [0, 0x40n],
  ],
  ['fd_fdstat_get of what is not open', badf, ['fd_fdstat_get', n(3), n(OUT + 64)]],
  ['fd_fdstat_set_flags of a stream', success, ['fd_fdstat_set_flags', n(1), n(4)]],
  ['fd_fdstat_set_flags of what is not open', badf, ['fd_fdstat_set_flags', n(3), n(4)]],
  ['fd_fdstat_set_rights of a stream', notsup, ['fd_fdstat_set_rights', n(1), long(0), long(0)]],
  ['fd_fdstat_set_rights of what is not open', badf, ['fd_fdstat_set_rights', n(3), long(0), long(0)]],
  [
    'fd_filestat_get of a stream',
    success,
    ['fd_filestat_get', n(0), n(OUT + 192)],
    (m) => m[OUT + 192 + 16],
    0,
  ],
  ['fd_filestat_get of what is not open', badf, ['fd_filestat_get', n(3), n(OUT + 192)]],
  ['fd_filestat_set_size of a stream', inval, ['fd_filestat_set_size', n(1), long(0)]],
  ['fd_filestat_set_size of what is not open', badf, ['fd_filestat_set_size', n(3), long(0)]],
  ['fd_filestat_set_times of a stream', notsup, ['fd_filestat_set_times', n(1), long(0), long(0), n(0)]],
  [
    'fd_filestat_set_times of what is not open',
    badf,
    ['fd_filestat_set_times', n(3), long(0), long(0), n(0)],
  ],
  ['fd_pread of a stream', spipe, ['fd_pread', n(0), n(VECTOR), n(1), long(0), n(OUT)]],
  ['fd_pread of what is not open', badf, ['fd_pread', n(3), n(VECTOR), n(1), long(0), n(OUT)]],
  ['fd_prestat_get of 3: no directory is open', badf, ['fd_prestat_get', n(3), n(OUT + 64)]],
  ['fd_prestat_get of a stream', badf, ['fd_prestat_get', n(0), n(OUT + 64)]],
  ['fd_prestat_dir_name of 3', badf, ['fd_prestat_dir_name', n(3), n(OUT + 64), n(8)]],
  ['fd_prestat_dir_name of a stream', notdir, ['fd_prestat_dir_name', n(0), n(OUT + 64), n(8)]],
  ['fd_pwrite of a stream', spipe, ['fd_pwrite', n(1), n(VECTOR), n(1), long(0), n(OUT)]],
  ['fd_pwrite of what is not open', badf, ['fd_pwrite', n(3), n(VECTOR), n(1), long(0), n(OUT)]],
  [
    'fd_read of stdin',
    success,
    ['fd_read', n(0), n(VECTOR), n(1), n(OUT + 256)],
    (m) => [m.readInt32LE(OUT + 256), m.toString('latin1', BUFFER, BUFFER + 5)],
    [5, 'input'],
  ],
  [
    'fd_read of stdin at its end: nothing',
    success,
    ['fd_read', n(0), n(VECTOR), n(1), n(OUT + 260)],
    (m) => m.readInt32LE(OUT + 260),
    0,
  ],
  ['fd_read of stdout', badf, ['fd_read', n(1), n(VECTOR), n(1), n(OUT + 64)]],
  ['fd_read of what is not open', badf, ['fd_read', n(3), n(VECTOR), n(1), n(OUT + 64)]],
  ['fd_readdir of a stream', notdir, ['fd_readdir', n(0), n(OUT), n(8), long(0), n(OUT)]],
  ['fd_readdir of what is not open', badf, ['fd_readdir', n(3), n(OUT), n(8), long(0), n(OUT)]],
  ['fd_renumber of a stream', badf, ['fd_renumber', n(0), n(3)]],
  ['fd_renumber of what is not open', badf, ['fd_renumber', n(3), n(0)]],
  ['fd_seek of a stream', spipe, ['fd_seek', n(1), long(0), n(1), n(OUT + 64)]],
  ['fd_seek of what is not open', badf, ['fd_seek', n(3), long(0), n(1), n(OUT + 64)]],
  ['fd_sync of a stream', inval, ['fd_sync', n(1)]],
  ['fd_sync of what is not open', badf, ['fd_sync', n(3)]],
  ['fd_tell of a stream', spipe, ['fd_tell', n(0), n(OUT + 64)]],
  ['fd_tell of what is not open', badf, ['fd_tell', n(3), n(OUT + 64)]],
  [
    'fd_write to stdout',
    success,
    ['fd_write', n(1), n(VECTOR), n(1), n(OUT + 264)],
    (m) => m.readInt32LE(OUT + 264),
    16,
  ],
  [
    'fd_write to stderr, which is the log',
    success,
    ['fd_write', n(2), n(VECTOR), n(1), n(OUT + 268)],
    (m) => m.readInt32LE(OUT + 268),
    16,
  ],
  ['fd_write to stdin', badf, ['fd_write', n(0), n(VECTOR), n(1), n(OUT + 64)]],
  ['fd_write to what is not open', badf, ['fd_write', n(3), n(VECTOR), n(1), n(OUT + 64)]],
  ...(
    [
      ['path_create_directory', n(3), n(BUFFER), n(5)],
      ['path_filestat_get', n(3), n(0), n(BUFFER), n(5), n(OUT + 64)],
      ['path_filestat_set_times', n(3), n(0), n(BUFFER), n(5), long(0), long(0), n(0)],
      ['path_link', n(3), n(0), n(BUFFER), n(5), n(3), n(BUFFER), n(5)],
      ['path_open', n(3), n(0), n(BUFFER), n(5), n(0), long(0), long(0), n(0), n(OUT + 64)],
      ['path_readlink', n(3), n(BUFFER), n(5), n(OUT), n(8), n(OUT)],
      ['path_remove_directory', n(3), n(BUFFER), n(5)],
      ['path_rename', n(3), n(BUFFER), n(5), n(3), n(BUFFER), n(5)],
      ['path_symlink', n(BUFFER), n(5), n(3), n(BUFFER), n(5)],
      ['path_unlink_file', n(3), n(BUFFER), n(5)],
    ] as WasiCall[]
  ).map((one): Rule => [`${one[0]}: no directory is open`, badf, one]),
  [
    'path_open below a stream',
    notdir,
    ['path_open', n(0), n(0), n(BUFFER), n(5), n(0), long(0), long(0), n(0), n(OUT + 64)],
  ],
  ['path_symlink below a stream', notdir, ['path_symlink', n(BUFFER), n(5), n(0), n(BUFFER), n(5)]],
  ['poll_oneoff of nothing', inval, ['poll_oneoff', n(OUT), n(OUT), n(0), n(OUT + 64)]],
  ['proc_raise: there are no signals', nosys, ['proc_raise', n(9)]],
  [
    'random_get',
    success,
    ['random_get', n(OUT + 512), n(32)],
    (m) => new Set(m.subarray(OUT + 512, OUT + 544)).size > 4,
    true,
  ],
  ['sched_yield', success, ['sched_yield']],
  ['sock_accept of a stream', notsock, ['sock_accept', n(0), n(0), n(OUT + 64)]],
  ['sock_accept of what is not open', badf, ['sock_accept', n(3), n(0), n(OUT + 64)]],
  ['sock_recv of a stream', notsock, ['sock_recv', n(0), n(VECTOR), n(1), n(0), n(OUT + 64), n(OUT + 68)]],
  [
    'sock_recv of what is not open',
    badf,
    ['sock_recv', n(3), n(VECTOR), n(1), n(0), n(OUT + 64), n(OUT + 68)],
  ],
  ['sock_send of a stream', notsock, ['sock_send', n(1), n(VECTOR), n(1), n(0), n(OUT + 64)]],
  ['sock_send of what is not open', badf, ['sock_send', n(3), n(VECTOR), n(1), n(0), n(OUT + 64)]],
  ['sock_shutdown of a stream', notsock, ['sock_shutdown', n(1), n(3)]],
  ['sock_shutdown of what is not open', badf, ['sock_shutdown', n(3), n(3)]],
  ['fd_close of a stream', success, ['fd_close', n(0)]],
  ['fd_close of a stream that is closed', badf, ['fd_close', n(0)]],
  ['fd_read of a stream that is closed', badf, ['fd_read', n(0), n(VECTOR), n(1), n(OUT + 64)]],
  ['fd_close of what is not open', badf, ['fd_close', n(3)]],
];

/** A subscription to a clock, of 48 bytes. */
const clock = (at: number, userdata: number, id: number, ns: number, flags = 0): Step[] => [
  ...[storeI64(at, userdata), storeI64(at + 8, 0), storeI32(at + 16, id)],
  ...[storeI64(at + 24, ns), storeI64(at + 32, 0), storeI32(at + 40, flags)],
];
const stream = (at: number, userdata: number, tag: number, fd: number): Step[] => [
  ...[storeI64(at, userdata), storeI64(at + 8, tag), storeI32(at + 16, fd)],
];
/** Its events as `userdata/type/error`, with `=bytes` for those of streams, and `!` for an end. */
const events = (memory: Buffer, to: number, told: number): string[] =>
  Array.from({ length: memory.readInt32LE(told) }, (_, i) => {
    const at = to + 32 * i;
    const head = `${memory.readBigUInt64LE(at)}/${memory[at + 10]}/${memory.readUInt16LE(at + 8)}`;
    const bytes = memory[at + 10] === 0 ? '' : `=${memory.readBigUInt64LE(at + 16)}`;
    return `${head}${bytes}${(memory[at + 24]! & 1) === 1 ? '!' : ''}`;
  });

const IN = 8_192;
const TO = 12_288;
const TOLD = 16_384;
const BEFORE = 16_392;
const AFTER = 16_400;
const HOUR_NS = 2_000_000_000 * 100;
const now = (at: number, id = 1): Step => ['clock_time_get', n(id), long(0), n(at)];
const poll = (count: number): Step => ['poll_oneoff', n(IN), n(TO), n(count), n(TOLD)];

/** `least`: nanoseconds that the module's own clock has to show. */
const POLLS: Array<readonly [what: string, steps: Step[], events: string[], least?: number]> = [
  ['a relative time', [...clock(IN, 7, 1, 20_000_000), poll(1)], ['7/0/0'], 20_000_000],
  ['a relative time of the wall clock', [...clock(IN, 7, 0, 20_000_000), poll(1)], ['7/0/0'], 19_000_000],
  [
    'an absolute time',
    [...clock(IN, 7, 1, 0, 1), addI64(IN + 24, BEFORE, 20_000_000), poll(1)],
    ['7/0/0'],
    20_000_000,
  ],
  [
    'an absolute time of the wall clock',
    [now(AFTER, 0), ...clock(IN, 7, 0, 0, 1), addI64(IN + 24, AFTER, 20_000_000), poll(1)],
    ['7/0/0'],
    15_000_000,
  ],
  ['an absolute time that is past', [...clock(IN, 7, 0, 1, 1), poll(1)], ['7/0/0']],
  ['no time at all', [...clock(IN, 7, 1, 0), poll(1)], ['7/0/0']],
  [
    'several: the earliest ends the wait',
    [
      ...clock(IN, 1, 1, HOUR_NS),
      ...clock(IN + 48, 2, 1, 10_000_000),
      ...clock(IN + 96, 3, 0, HOUR_NS),
      poll(3),
    ],
    ['2/0/0'],
    10_000_000,
  ],
  [
    'several that are due: all are told',
    [...clock(IN, 1, 1, 0), ...clock(IN + 48, 2, 1, 0), poll(2)],
    ['1/0/0', '2/0/0'],
  ],
  ['a clock that is not there', [...clock(IN, 7, 2, HOUR_NS), poll(1)], [`7/0/${inval}`]],
  ['stdin with a body', [...stream(IN, 7, 1, 0), poll(1)], ['7/1/0=5']],
  [
    'stdin at its end',
    [['fd_read', n(0), n(VECTOR), n(1), n(OUT)], ...stream(IN, 7, 1, 0), poll(1)],
    ['7/1/0=0!'],
  ],
  [
    'stdout, which takes what is left of an answer',
    [...stream(IN, 7, 2, 1), poll(1)],
    [`7/2/0=${8 * 1024 * 1024}`],
  ],
  ['stdout for reading', [...stream(IN, 7, 1, 1), poll(1)], [`7/1/${badf}=0`]],
  ['what is not open', [...stream(IN, 7, 2, 3), poll(1)], [`7/2/${badf}=0`]],
  [
    'a stream and a time: the stream is there first',
    [...clock(IN, 1, 1, HOUR_NS), ...stream(IN + 48, 2, 1, 0), poll(2)],
    ['2/1/0=5'],
  ],
];

describe('WASI preview 1', () => {
  const bench = new SandboxBench('wasm', { group: 'mine' });
  const vector = [storeI32(VECTOR, BUFFER), storeI32(VECTOR + 4, 16)];
  let session: Session;
  before(async () => {
    const sandbox = await bench.run(wasiSession([...vector, ...RULES.map(([, , one]) => one)]), {
      env: { LEVEL: 'debug' },
    });
    session = await runSession(sandbox, RULES.length, 'input');
  });
  after(() => bench.close());

  for (const [i, [what, errno, , tells, right]] of RULES.entries())
    it(`${what}: ${errno}`, () => {
      expect(session.errors[i]).to.equal(errno);
      if (tells !== undefined) expect(tells(session.memory)).to.deep.equal(right);
    });

  for (const [what, steps, told, least = 0] of POLLS)
    it(`poll_oneoff: ${what}`, async () => {
      const all = [...vector, now(BEFORE), ...steps, now(AFTER)];
      const calls = all.filter((step) => !('code' in step)).length;
      const sandbox = await bench.run(wasiSession(all));
      const { errors, memory } = await runSession(sandbox, calls, 'input');
      await sandbox.kill();
      expect(errors).to.deep.equal(errors.map(() => success));
      expect(events(memory, TO, TOLD)).to.deep.equal(told);
      const passed = Number(memory.readBigUInt64LE(AFTER) - memory.readBigUInt64LE(BEFORE));
      expect(passed).to.be.at.least(least);
    });

  it('proc_exit: 0 is a success, anything else a failure', async () => {
    const exit = (code: number) => wasiSession([{ code: [] }, ['proc_exit', n(code)]]);
    expect((await call(await bench.run(exit(0)))).body).to.have.length(0);
    expect((await errorOf(call(await bench.run(exit(3))))).message).to.contain('exit code 3');
  });

  it('has a rule for each function, and each is in the table of the documentation', () => {
    const tried = new Set([...RULES.map(([, , [name]]) => name), 'proc_exit']);
    expect([...WASI_FUNCTIONS].sort()).to.deep.equal([...tried].sort());
    expect(WASI_FUNCTIONS).to.have.length(46);
    const table = readFileSync('docs/engines.md', 'utf8');
    expect(WASI_FUNCTIONS.filter((name) => !table.includes(`\`${name}\``))).to.deep.equal([]);
  });
});
