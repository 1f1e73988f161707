/** Why an NF's SLO is not held, as far as NEMO knows: a message for operators who read `held: no`. Pure but for the board. */

import { type Board, Core } from '../model/board.js';
import { LADDER, OFF } from '../policy/conflict/ladder.js';

export interface SloNoteFacts {
  cores: readonly number[];
  /** Why functions do not run on its cores at all; undefined: they may. */
  notHarvested: string | undefined;
  throttledPerS: number;
}

export function sloNote(board: Board, { cores, notHarvested, throttledPerS }: SloNoteFacts): string {
  if (throttledPerS > 0)
    return 'its own CPU quota stops it, so that packets wait; functions are not blamed for that';
  if (notHarvested !== undefined) return `no function runs beside it: ${notHarvested}`;
  const is = (field: typeof Core.unmeetable | typeof Core.acquitted): boolean =>
    cores.some((core) => board.get(core, field) === 1);
  const level = Math.max(0, ...cores.map((core) => board.get(core, Core.throttleLevel)));
  if (is(Core.unmeetable)) return 'packets are late without functions too, which are off its core';
  if (is(Core.acquitted)) return 'packets are as late without functions, so these go on';
  if (level === OFF) return 'functions are off its core until it is well';
  if (level > 0) return `functions on its core are throttled (${LADDER[level]!.name})`;
  const busy = cores.some((core) => board.get(core, Core.functionRatio) > 0.01);
  return busy ? 'seen just now, beside functions' : 'no function runs on its core now';
}
