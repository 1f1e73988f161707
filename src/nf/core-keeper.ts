/**
 * Follows which function cores may be used, and reports which become barred, why, and when they are free again. The
 * kernel moves the threads of an unplugged core elsewhere, even bound ones; NEMO moves the functions.
 */

import type { CoreFacts } from '../model/core-facts.js';
import { type ExcludedCore, excludedCores } from '../policy/harvest/excluded-cores.js';

export interface CoreKeeperOptions {
  functionCores: readonly number[];
  allowSmtSiblings: boolean;
  /** See `barredCores`. */
  apartFrom?: readonly number[] | undefined;
  /** Called at each check at which something may have changed. */
  topology: () => CoreFacts[];
  onWarning: (message: string) => void;
  /** Functions have to leave the core. */
  onExcluded: (core: number) => void;
}

export class CoreKeeper {
  private current: ExcludedCore[] = [];

  constructor(private readonly options: CoreKeeperOptions) {}

  get barred(): readonly number[] {
    return this.current.map(({ core }) => core);
  }

  /** Checks again, with the present NFs and the NF cores of other agents. True if anything changed. */
  check(nfCores: ReadonlyMap<number, string>, ofOthers: ReadonlyMap<number, string> = new Map()): boolean {
    const { functionCores, allowSmtSiblings, apartFrom, topology, onWarning, onExcluded } = this.options;
    const before = this.current;
    this.current = excludedCores(topology(), functionCores, nfCores, allowSmtSiblings, ofOthers, apartFrom);
    const has = (list: readonly ExcludedCore[], one: ExcludedCore) =>
      list.some(({ core, why }) => core === one.core && why === one.why);
    const added = this.current.filter((one) => !has(before, one));
    const lifted = before.filter(({ core }) => !this.barred.includes(core));
    for (const { why } of added) onWarning(why);
    for (const { core } of lifted) onWarning(`core ${core} may be used by functions again`);
    for (const { core } of added) onExcluded(core);
    return added.length + lifted.length > 0;
  }
}
