import { expect } from 'chai';
import fc from 'fast-check';
import { CONDITIONAL, UNCONDITIONAL } from '../../../src/confinement/seccomp/calls.js';
import { type SeccompProfile, seccompProfile } from '../../../src/confinement/seccomp/profile.js';
import { seccompProgram } from '../../../src/confinement/seccomp/program.js';
import { fuzz } from '../../support/fuzz.js';

const X64 = 0xc000003e;
const ARM64 = 0xc00000b7;
const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;

/** What the kernel would answer: classic BPF, the few instructions that the filter uses. */
function evaluate(program: Buffer, arch: number, nr: number, args: Array<number | bigint> = []): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, arch, true);
  args.forEach((arg, i) => {
    data.setBigUint64(16 + 8 * i, BigInt(arg), true);
  });
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const code = program.readUInt16LE(at * 8);
    const [ifTrue, ifFalse] = [program[at * 8 + 2]!, program[at * 8 + 3]!];
    const value = program.readUInt32LE(at * 8 + 4);
    const jump = (holds: boolean) => {
      at += holds ? ifTrue : ifFalse;
    };
    if (code === 0x20) accumulator = data.getUint32(value, true);
    else if (code === 0x54) accumulator = (accumulator & value) >>> 0;
    else if (code === 0x15) jump(accumulator === value);
    else if (code === 0x35) jump(accumulator >= value);
    else if (code === 0x45) jump((accumulator & value) !== 0);
    else if (code === 0x06) return value;
    else throw new Error(`instruction ${code.toString(16)}`);
  }
  throw new Error('ran off the end');
}

/** What an OCI runtime makes of it. At most one rule may apply: which of several wins is the runtime's affair. */
function answerOf(
  { syscalls, defaultErrnoRet }: SeccompProfile,
  name: string,
  args: Array<number | bigint>,
): number {
  const applies = ({ index, value, valueTwo }: { index: number; value: number; valueTwo: number }) =>
    (BigInt(args[index]!) & BigInt(value)) === BigInt(valueTwo);
  const found = syscalls.filter((rule) => rule.names.includes(name) && (rule.args ?? []).every(applies));
  if (found.length > 1) throw new Error(`${found.length} rules for ${name}(${args.join()})`);
  const [rule] = found;
  if (rule?.action === 'SCMP_ACT_ALLOW') return ALLOW;
  return 0x50000 | (rule?.errnoRet ?? defaultErrnoRet);
}

describe('the system call filter', () => {
  const calls = {
    read: [0, 63],
    write: [1, 64],
    mmap: [9, 222],
    futex: [202, 98],
    execve: [59, 221],
    openat: [257, 56],
    epoll_create1: [291, 20],
  } as const;
  const refused = {
    mount: [165, 40],
    ptrace: [101, 117],
    process_vm_readv: [310, 270],
    bpf: [321, 280],
    perf_event_open: [298, 241],
    keyctl: [250, 219],
    userfaultfd: [323, 282],
    unshare: [272, 97],
    setns: [308, 268],
    kexec_load: [246, 104],
    finit_module: [313, 273],
    open_by_handle_at: [304, 265],
    io_uring_setup: [425, 425],
    personality: [135, 92],
    clock_settime: [227, 112],
    sched_setscheduler: [144, 119],
    sched_setattr: [314, 274],
    setpriority: [141, 140],
    fsopen: [430, 430],
    mount_setattr: [442, 442],
    timer_settime: [223, 110],
    sync: [162, 81],
    syncfs: [306, 267],
    io_submit: [209, 2],
    io_pgetevents: [333, 292],
    vmsplice: [278, 75],
    memfd_secret: [447, 447],
    cachestat: [451, 451],
  } as const;

  for (const [name, arch, column] of [
    ['x64', X64, 0],
    ['arm64', ARM64, 1],
  ] as const) {
    describe(`on ${name}`, () => {
      const program = seccompProgram('processes', name);
      const clone = [56, 220][column]!;
      const socket = [41, 198][column]!;
      const ioctl = [16, 29][column]!;
      const verdict = (nr: number, ...args: number[]) => evaluate(program, arch, nr, args);

      it('lets node work', () => {
        for (const [call, numbers] of Object.entries(calls))
          expect(verdict(numbers[column]), call).to.equal(ALLOW);
      });
      it('refuses what could leave the sandbox', () => {
        for (const [call, numbers] of Object.entries(refused))
          expect(verdict(numbers[column]), call).to.equal(EPERM);
      });
      it('answers as a kernel without POSIX timers, AIO and membarrier', () => {
        for (const numbers of [
          [222, 107],
          [206, 0],
          [324, 283],
        ])
          expect(verdict(numbers[column]!)).to.equal(ENOSYS);
      });
      it('allows threads and forks but no namespaces', () => {
        expect(verdict(clone, 0x3d0f00)).to.equal(ALLOW);
        expect(verdict(clone, 17)).to.equal(ALLOW);
        // A table of files that another process shares outlives who took locks in it.
        expect(verdict(clone, 17 | 0x400)).to.equal(EPERM);
        for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
          expect(verdict(clone, 17 | flag), flag.toString(16)).to.equal(EPERM);
        }
        expect(verdict(435)).to.equal(ENOSYS);
      });
      it('allows UNIX, TCP and route sockets, nothing raw and no UDP', () => {
        for (const [family, type, protocol] of [
          [1, 1, 0],
          [2, 0x80801, 6],
          [16, 0x80003, 0],
        ] as const) {
          expect(verdict(socket, family, type, protocol), `${family}`).to.equal(ALLOW);
        }
        for (const [family, type, protocol] of [
          [2, 3, 1],
          [10, 0x80003, 58],
          [17, 3, 768],
          [16, 3, 9],
          [40, 1, 0],
          [38, 5, 0],
          [2, 0x80802, 0],
          [10, 2, 17],
        ] as const) {
          expect(verdict(socket, family, type, protocol), `${family}`).to.not.equal(ALLOW);
        }
      });
      it('does not let a terminal be typed into', () => {
        expect(verdict(ioctl, 0, 0x5412)).to.equal(EPERM);
        expect(verdict(ioctl, 0, 0x5401)).to.equal(ALLOW);
      });
      it('knows nothing newer than itself, and no other architecture', () => {
        expect(verdict(470)).to.equal(ENOSYS);
        expect(evaluate(program, arch === X64 ? ARM64 : X64, 0)).to.equal(KILL);
        expect(evaluate(program, 0x40000003, 0)).to.equal(KILL);
      });
    });
  }

  it('lets a process of threads make threads but no process, and only UNIX sockets', () => {
    const program = seccompProgram('threads', 'x64');
    const ask = (nr: number, args: number[] = []) => evaluate(program, X64, nr, args);
    const [clone, socket] = [56, 41];
    expect(ask(clone, [0x3d0f00])).to.equal(ALLOW);
    for (const flags of [17, 0x10000000 | 0x10000]) expect(ask(clone, [flags])).to.equal(EPERM);
    expect(ask(socket, [1, 1])).to.equal(ALLOW);
    for (const family of [2, 10, 16, 17]) expect(ask(socket, [family, 1])).to.not.equal(ALLOW);
    for (const nr of [57, 58, 62, 49, 50]) expect(ask(nr)).to.equal(EPERM);
    for (const nr of Object.values(calls)) expect(ask(nr[0])).to.equal(ALLOW);
  });

  it('lets a process of files make those too, and still no process', () => {
    const ask = (confinement: 'threads' | 'files', nr: number) =>
      evaluate(seccompProgram(confinement, 'x64'), X64, nr, [0o100644, 0o100644]);
    const [mkdir, link, rename, chmod, fork, vfork, kill] = [83, 86, 82, 90, 57, 58, 62];
    for (const nr of [mkdir, link, rename, chmod])
      expect([ask('threads', nr), ask('files', nr)]).to.deep.equal([EPERM, ALLOW]);
    for (const nr of [fork, vfork, kill]) expect(ask('files', nr)).to.equal(EPERM);
  });

  it('ends a process that calls through the x32 table', () => {
    expect(evaluate(seccompProgram('processes', 'x64'), X64, 0x40000000 | 165)).to.equal(KILL);
  });
  it('says the same as the profile of containers, whatever is asked', () => {
    const arch = process.arch as 'x64' | 'arm64';
    const program = seccompProgram('containers', arch);
    const profile = seccompProfile();
    const named = new Map(
      [...UNCONDITIONAL, ...CONDITIONAL].map(({ name, numbers }) => [numbers[arch], name]),
    );
    const values = profile.syscalls.flatMap(({ args = [] }) => args.map(({ valueTwo }) => valueTwo));
    const argument = fc.oneof(
      fc.constantFrom(...values),
      fc.nat(64),
      fc.nat(0xffffffff),
      fc.bigInt(0n, 2n ** 64n - 1n),
    );
    const number = fc.oneof(fc.nat(453), fc.constantFrom(...CONDITIONAL.map(({ numbers }) => numbers[arch])));
    fuzz(fc.tuple(number, fc.array(argument, { minLength: 6, maxLength: 6 })), ([nr, args]) => {
      const told = evaluate(program, arch === 'x64' ? X64 : ARM64, nr, args);
      return told === answerOf(profile, named.get(nr) ?? '', args);
    });
  });

  it('refuses an architecture whose numbers it does not know', () => {
    expect(() => seccompProgram('processes', 'riscv64')).to.throw('riscv64');
  });
});
