/**
 * Calls functions by the clock, as their `schedule` says. A schedule never has two calls under way: when the
 * last one has not ended, the turn is skipped, so a slow function cannot fill its own queue.
 */

import type { Principal } from '../model/call.js';
import { asNemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { Platform } from '../model/platform.js';
import type { Store } from '../store/store.js';
import { CronClock, DueClocks } from './cron-clock.js';
import { readSchedule } from './schedule.js';
import { claimRun } from './shared-turns.js';
import type { Source } from './source.js';

export interface CronTriggers extends Source {
  /** Keys of the functions that have a schedule now. */
  scheduled(): string[];
}

const NO_BODY = Buffer.alloc(0);

/**
 * Starts what the registry holds and follows its changes. Of boxes that share a `store`, one calls; where it cannot be
 * asked each does, as a call too many is better than none.
 */
export function createCronTriggers(platform: Platform, store?: Store): CronTriggers {
  const clocks = new Map<string, CronClock>();
  const dueClocks = new DueClocks();
  let calls = 0;
  let closed = false;

  const start = ({ ref }: FunctionSpec, expression: string): CronClock => {
    const { key } = ref;
    const turns = readSchedule(expression);
    let underWay = false;
    let skipped = 0;
    const principal: Principal = { source: 'cron', name: expression };
    const ended = (): void => {
      underWay = false;
    };
    const turn = (due: Date): void => {
      if (underWay) {
        // One event per series of failures: a schedule of every second must not fill the event log.
        if (skipped++ === 0) warnOfOverlap(platform, key);
        return;
      }
      underWay = true;
      skipped = 0;
      if (store?.shared !== true) {
        call();
        return;
      }
      claimRun(store, key, due.getTime()).then(
        (ours) => {
          if (ours && clocks.has(key)) call();
          else underWay = false;
        },
        () => call(),
      );
    };
    const call = (): void => {
      platform.invoke(
        {
          callId: `cron-${key}-${Date.now().toString(36)}-${(++calls).toString(36)}`,
          ref,
          method: 'POST',
          path: '/',
          query: '',
          headers: { 'x-nemo-trigger': 'cron', 'x-nemo-schedule': expression },
          body: NO_BODY,
          principal,
          mode: 'async',
          deadlineMs: Number.POSITIVE_INFINITY,
          traceparent: undefined,
        },
        { onHead: () => {}, onChunk: () => {}, onEnd: ended, onError: ended },
      );
    };
    return new CronClock(turns, turn, dueClocks);
  };

  const follow = (key: string, spec: FunctionSpec | undefined): void => {
    clocks.get(key)?.close();
    clocks.delete(key);
    if (closed || spec?.schedule === undefined) return;
    try {
      // An earlier agent may have stored what this one refuses: that must not keep it from starting.
      clocks.set(key, start(spec, spec.schedule));
    } catch (thrown) {
      const message = `'${key}' is not called by the clock: ${asNemoError(thrown).message}`;
      platform.events.emit({ kind: 'warning', severity: 'warning', functionName: key, message });
    }
  };

  for (const spec of platform.registry.list()) follow(spec.ref.key, spec);
  platform.registry.onChange(follow);
  return {
    scheduled: () => [...clocks.keys()].sort(),
    async close() {
      closed = true;
      for (const clock of clocks.values()) clock.close();
      clocks.clear();
    },
  };
}

function warnOfOverlap(platform: Platform, functionName: string): void {
  platform.events.emit({
    kind: 'warning',
    severity: 'warning',
    functionName,
    message: `a scheduled call of '${functionName}' was left out: the one before has not ended`,
  });
}
