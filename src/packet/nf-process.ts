/**
 * Turns this process into a reference NF: name, core, function, report, loop. Used by `nemo nf run` and by test beds, so
 * that both run the very same NF.
 */

import { readdirSync, writeSync } from 'node:fs';
import { requireCore } from '../linux/allowed-cores.js';
import { setAffinity } from '../linux/sched.js';
import type { NfMode } from '../model/nf-profile.js';
import { createFunction } from './functions/index.js';
import { type NfStatistics, runNf } from './nf-runtime.js';
import { SharedLatencyWriter } from './shared-latency.js';

export interface NfProcessOptions {
  /** A reference NF: the name of its function. */
  profile: string;
  in: string;
  out: string;
  mode: NfMode;
  /** Core for all threads of the process; without it they run anywhere. */
  cpu?: number;
  /** The function's configuration. */
  config?: unknown;
  onReady?: () => void;
  onStatistics?: (statistics: NfStatistics & { counters: Record<string, number> }) => void;
}

/** Never returns. Throws NOT_FOUND, BAD_CONFIG, NO_SUCH_CORE, and what `runNf` throws. */
export function becomeNf(options: NfProcessOptions): never {
  const { onReady, onStatistics } = options;
  const fn = createFunction(options.profile, options.config ?? {});
  // Discovery tells the mode from the title: the arguments are gone once it is set.
  process.title = `nemo-nf-${options.profile}${options.mode === 'poll' ? ' poll' : ''}`;
  if (options.cpu !== undefined) pinProcess(options.cpu);
  const report = SharedLatencyWriter.create(process.pid, (why) =>
    writeSync(2, `nemo: the latency of ${process.title} is told to nobody: ${why}\n`),
  );
  try {
    return runNf({
      in: options.in,
      out: options.out,
      mode: options.mode,
      fn,
      report,
      ...(onReady && { onReady }),
      ...(onStatistics && {
        onStatistics: (statistics) => onStatistics({ ...statistics, counters: fn.counters }),
      }),
    });
  } finally {
    report.close();
  }
}

/** Binds every thread of this process, also those of the JavaScript engine, to one core. */
function pinProcess(cpu: number): void {
  requireCore(cpu);
  for (const tid of readdirSync('/proc/self/task')) setAffinity(Number(tid), [cpu]);
}
