/**
 * The rules as a BPF program, for `bwrap --seccomp`: a search tree over the numbers of the calls, so that a call costs
 * eight comparisons more than those whose arguments are looked at. Calls of another architecture or through the x32 table end the process.
 */

import { NemoError } from '../../model/errors.js';
import {
  and,
  argumentLow,
  assemble,
  DATA_ARCH,
  DATA_NR,
  type Instruction,
  load,
  ret,
  unlessEqual,
  whenAtLeast,
  whenLess,
  whenOneOf,
} from './bpf.js';
import type { Architecture } from './calls.js';
import {
  type Clause,
  type Confinement,
  DEFAULT_ERRNO,
  type FilterAction,
  rulesFor,
  UNKNOWN_ERRNO,
} from './rules.js';

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const RETURN_ERRNO = 0x00050000;
const REFUSE = ret(RETURN_ERRNO | DEFAULT_ERRNO);
/** First number that the table knows nothing of: Linux 6.6 ends at 453. */
const FIRST_UNKNOWN = 454;
/** Calls made through the x32 table carry this bit. */
const X32_BIT = 0x40000000;
const AUDIT_ARCH: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** Throws UNSUPPORTED on another architecture than x64 and arm64. */
export function seccompProgram(confinement: Confinement, arch: string = process.arch): Buffer {
  if (arch !== 'x64' && arch !== 'arm64') {
    throw new NemoError('UNSUPPORTED', `no system call filter for the architecture ${arch}`, {
      hint: 'run on x64 or arm64',
    });
  }
  const rules = rulesFor(confinement).filter(({ call }) => call.numbers[arch] >= 0);
  const unconditional = rules.filter(({ clauses }) => clauses.length === 0);
  const conditional = rules.filter(({ clauses }) => clauses.length > 0);
  return assemble([
    load(DATA_ARCH),
    ...unlessEqual(AUDIT_ARCH[arch], [ret(KILL_PROCESS)]),
    load(DATA_NR),
    ...(arch === 'x64' ? whenAtLeast(X32_BIT, [ret(KILL_PROCESS)]) : []),
    ...whenAtLeast(FIRST_UNKNOWN, [ret(RETURN_ERRNO | UNKNOWN_ERRNO)]),
    ...conditional.flatMap(({ call, clauses }) =>
      whenOneOf([call.numbers[arch]], [...clauses.flatMap(check), REFUSE]),
    ),
    ...searchTree(segments(new Set(unconditional.map(({ call }) => call.numbers[arch])))),
  ]);
}

/** What is done from the number `from` on, up to the next segment. */
interface Segment {
  from: number;
  then: Instruction;
}

function segments(allowed: ReadonlySet<number>): Segment[] {
  const found: Segment[] = [];
  for (let from = 0; from < FIRST_UNKNOWN; from++) {
    const then = allowed.has(from) ? ret(ALLOW) : REFUSE;
    if (found.at(-1)?.then[3] !== then[3]) found.push({ from, then });
  }
  return found;
}

/** Each leaf returns. */
function searchTree(of: readonly Segment[]): readonly Instruction[] {
  if (of.length === 1) return [of[0]!.then];
  const middle = of.length >> 1;
  return [...whenLess(of[middle]!.from, searchTree(of.slice(0, middle))), ...searchTree(of.slice(middle))];
}

function check({ when, verdict }: Clause): readonly Instruction[] {
  return when.reduceRight<readonly Instruction[]>(
    (then, { argument, mask, values }) => [
      load(argumentLow(argument)),
      ...(mask === undefined ? [] : [and(mask)]),
      ...whenOneOf(values, then),
    ],
    [ret(returnOf(verdict))],
  );
}

function returnOf(verdict: FilterAction): number {
  return verdict === 'allow' ? ALLOW : RETURN_ERRNO | verdict.errno;
}
