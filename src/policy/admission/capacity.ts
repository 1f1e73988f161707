/**
 * How much memory the limits of all sandboxes may come to. Pure. By default what the box has left when the agent starts,
 * without a reserve for its NFs and the agent: a function that uses all that it may never takes what an NF needs. More than
 * that only where the operator writes so (`pool.overcommit`); what sandboxes really use together is bounded in any case.
 */

export interface MemoryFacts {
  totalBytes: number;
  /** Without any sandbox. */
  availableBytes: number;
  reserveBytes: number;
  /** `pool.memory` and `pool.overcommit`. */
  configuredBytes: number | undefined;
  overcommit: number;
}

export interface MemoryCapacity {
  /** Most that the limits may come to. */
  limitsBytes: number;
  /** Most that all sandboxes may use together; the kernel holds them to it. */
  useBytes: number;
  warnings: readonly string[];
}

export function memoryCapacity(facts: MemoryFacts): MemoryCapacity {
  const { totalBytes, availableBytes, reserveBytes, configuredBytes, overcommit } = facts;
  const most = Math.max(0, totalBytes - reserveBytes);
  const left = Math.max(0, Math.min(most, availableBytes - reserveBytes));
  const useBytes = Math.min(configuredBytes ?? left, most);
  const warnings: string[] = [];
  if (configuredBytes !== undefined && configuredBytes > most) {
    warnings.push(
      `pool.memory is ${mib(configuredBytes)}, more than this box has without a reserve for NFs and the agent: ` +
        `sandboxes get ${mib(most)}`,
    );
  } else if (useBytes > left) {
    warnings.push(
      `pool.memory is ${mib(useBytes)}, but only ${mib(left)} are free now: sandboxes may take what other programs need`,
    );
  }
  if (overcommit > 1) {
    warnings.push(
      `memory is over-committed by ${overcommit}: a function may be ended because others use what it may use too`,
    );
  }
  return { limitsBytes: useBytes * overcommit, useBytes, warnings };
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`;
}

/** What a sandbox counts for. */
export interface Commitment {
  bytes: number;
  /** Of its process, beside what it and others in there count for. */
  processBytes: number;
  /** Names the process that it shares with others, which has one limit. */
  share: string | undefined;
}

/** The limits together: a shared process counts once, with at most `shareMaxBytes`. */
export function committedBytes(commitments: Iterable<Commitment>, shareMaxBytes: number): number {
  let bytes = 0;
  const shares = new Map<string, number>();
  for (const one of commitments) {
    if (one.share === undefined) bytes += one.bytes + one.processBytes;
    else shares.set(one.share, (shares.get(one.share) ?? one.processBytes) + one.bytes);
  }
  for (const share of shares.values()) bytes += Math.min(share, shareMaxBytes);
  return bytes;
}
