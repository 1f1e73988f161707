/** The rules in the words of an OCI runtime: `linux.seccomp` of config.json. Pure. */

import { type Clause, type Condition, DEFAULT_ERRNO, rulesFor } from './rules.js';

interface Argument {
  index: number;
  /** The mask; the argument under it is `valueTwo`. */
  value: number;
  valueTwo: number;
  op: 'SCMP_CMP_MASKED_EQ';
}

export interface ProfileRule {
  names: string[];
  action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  errnoRet?: number;
  /** All of them. */
  args?: Argument[];
}

export interface SeccompProfile {
  defaultAction: 'SCMP_ACT_ERRNO';
  defaultErrnoRet: number;
  architectures: string[];
  syscalls: ProfileRule[];
}

const ALWAYS: readonly Clause[] = [{ when: [], verdict: 'allow' }];
const ALL_BITS = 0xffffffff;

export function seccompProfile(): SeccompProfile {
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: DEFAULT_ERRNO,
    architectures: [process.arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64'],
    syscalls: rulesFor('containers').flatMap(({ call, clauses }) =>
      (clauses.length > 0 ? clauses : ALWAYS).flatMap(({ when, verdict }) =>
        combinations(when).map(
          (args): ProfileRule => ({
            names: [call.name],
            ...(verdict === 'allow'
              ? { action: 'SCMP_ACT_ALLOW' }
              : { action: 'SCMP_ACT_ERRNO', errnoRet: verdict.errno }),
            ...(args.length === 0 ? {} : { args }),
          }),
        ),
      ),
    ),
  };
}

/** A rule compares each argument with one value: one rule for each way in which all conditions can hold. */
function combinations(when: readonly Condition[]): Argument[][] {
  return when.reduce<Argument[][]>(
    (found, { argument: index, mask = ALL_BITS, values }) =>
      found.flatMap((args) =>
        values.map((valueTwo): Argument[] => [
          ...args,
          { index, value: mask, valueTwo, op: 'SCMP_CMP_MASKED_EQ' },
        ]),
      ),
    [[]],
  );
}
