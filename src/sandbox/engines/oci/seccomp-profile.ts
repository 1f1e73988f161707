/** The refused system calls of `process/seccomp.ts` in the words of an OCI runtime. Pure. */

import { REFUSED_NAMES } from '../process/seccomp.js';

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;
const CLONE_NEW_ANY = 0x7e020000;
const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16 };
const SOCK_TYPE_MASK = 0xf;
const SOCK_RAW = 3;
const SOCK_KINDS_ABOVE_DGRAM = [SOCK_RAW, 4, 5, 6, 10];

interface Rule {
  names: string[];
  action: 'SCMP_ACT_ERRNO';
  errnoRet: number;
  args?: Array<{ index: number; value: number; valueTwo?: number; op: string }>;
}

const refuse = (names: string[], errnoRet: number, args?: Rule['args']): Rule => ({
  names,
  action: 'SCMP_ACT_ERRNO',
  errnoRet,
  ...(args === undefined ? {} : { args }),
});

export function seccompProfile(): Record<string, unknown> {
  const family = (value: number, op = 'SCMP_CMP_EQ') => ({ index: 0, value, op });
  const type = (value: number) => ({
    index: 1,
    value: SOCK_TYPE_MASK,
    valueTwo: value,
    op: 'SCMP_CMP_MASKED_EQ',
  });
  const between = [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15];
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: process.arch === 'arm64' ? ['SCMP_ARCH_AARCH64'] : ['SCMP_ARCH_X86_64'],
    syscalls: [
      refuse([...REFUSED_NAMES], EPERM),
      refuse(['clone3'], ENOSYS),
      // One rule a bit: a mask matches when all of its bits are as given.
      ...bitsOf(CLONE_NEW_ANY).map((bit) =>
        refuse(['clone'], EPERM, [{ index: 0, value: bit, valueTwo: bit, op: 'SCMP_CMP_MASKED_EQ' }]),
      ),
      ...[0x5412, 0x541c].map((request) =>
        refuse(['ioctl'], EPERM, [
          { index: 1, value: 0xffffffff, valueTwo: request, op: 'SCMP_CMP_MASKED_EQ' },
        ]),
      ),
      ...between.map((value) => refuse(['socket'], EAFNOSUPPORT, [family(value)])),
      refuse(['socket'], EAFNOSUPPORT, [family(AF.netlink, 'SCMP_CMP_GT')]),
      ...[AF.inet, AF.inet6].flatMap((ip) =>
        SOCK_KINDS_ABOVE_DGRAM.map((kind) => refuse(['socket'], EPERM, [family(ip), type(kind)])),
      ),
    ],
  };
}

function bitsOf(mask: number): number[] {
  return Array.from({ length: 32 }, (_, i) => 2 ** i).filter((bit) => Math.floor(mask / bit) % 2 === 1);
}
