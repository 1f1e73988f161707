/** Function cores that others have taken, for the people who run the box: who it is, and when the core is free again. */

import { type BusiestThread, busiestOn } from '../linux/busiest.js';
import { Core } from '../model/board.js';
import { OTHERS } from '../tunables/index.js';
import type { Control } from './control.js';

export interface TakenCoresOptions {
  control: Control;
  /** Functions have to leave the core. */
  onTaken: (core: number) => void;
  /** Functions may come back. */
  onLeft: (core: number) => void;
  onWarning: (message: string) => void;
}

export class TakenCores {
  private readonly by = new Map<number, string>();
  /** Whom the last message named. */
  private readonly pids = new Map<number, number | undefined>();

  constructor(private readonly options: TakenCoresOptions) {
    options.control.on('taken', ({ core, taken, othersRatio }) => {
      if (taken) void this.take(core, othersRatio);
      else this.leave(core);
    });
  }

  /** Why nothing is harvested there, as a message; undefined: others leave some of it. */
  why(core: number): string | undefined {
    return this.by.get(core);
  }

  private async take(core: number, othersRatio: number): Promise<void> {
    this.by.set(core, `others take ${shareOf(core, othersRatio)}`);
    this.options.onTaken(core);
    await this.sample(core, othersRatio);
  }

  /** Says who it is, and again when it is somebody else. */
  private async sample(core: number, othersRatio: number): Promise<void> {
    const share = shareOf(core, othersRatio);
    let who: BusiestThread | undefined;
    try {
      who = await busiestOn(core);
    } catch {
      // Then it has no name.
    }
    // They may have left meanwhile.
    if (!this.by.has(core)) return;
    const name = who === undefined ? 'other processes, or the kernel,' : `${who.name} (pid ${who.pid})`;
    const why = `${name} ${who === undefined ? 'take' : 'takes'} ${share}`;
    if (this.pids.get(core) !== who?.pid || !this.pids.has(core)) {
      this.options.onWarning(`${why}: no function runs there until it is free again`);
    }
    this.pids.set(core, who?.pid);
    this.by.set(core, why);
    setTimeout(() => {
      const { board } = this.options.control;
      if (this.by.has(core)) void this.sample(core, board.get(core, Core.othersRatio));
    }, OTHERS.nameMs).unref();
  }

  private leave(core: number): void {
    if (!this.by.delete(core)) return;
    this.pids.delete(core);
    this.options.onWarning(`core ${core} is free of others again: functions may run there`);
    this.options.onLeft(core);
  }
}

function shareOf(core: number, othersRatio: number): string {
  return `${Math.round(othersRatio * 100)} % of core ${core}`;
}
