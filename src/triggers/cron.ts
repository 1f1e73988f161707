/**
 * Calls functions by the clock, as their `schedule` says. A schedule never has two calls under way: when the
 * last one has not ended, the turn is skipped, so a slow function cannot fill its own queue.
 */

import { asNemoError, type NemoError } from '../errors.js';
import type { Platform } from '../gateway/platform.js';
import type { CallTimeline, FunctionSpec } from '../invoke/function.js';
import { parseSchedule } from './schedule.js';
import { Turns } from './turns.js';

export interface CronTriggers {
  /** Names of the functions that have a schedule now. */
  scheduled(): string[];
  close(): void;
}

export type TriggeredCallEnded = (
  functionName: string,
  error: NemoError | undefined,
  timeline: CallTimeline | undefined,
) => void;

const NO_BODY = Buffer.alloc(0);

/** Starts what the registry holds and follows its changes. `onCallEnded` hears of every call that was made. */
export function createCronTriggers(platform: Platform, onCallEnded?: TriggeredCallEnded): CronTriggers {
  const tasks = new Map<string, Turns>();
  let calls = 0;
  let closed = false;

  const start = (spec: FunctionSpec, expression: string): Turns => {
    let underWay = false;
    let skipped = 0;
    const ended = (error: NemoError | undefined, timeline: CallTimeline | undefined): void => {
      underWay = false;
      onCallEnded?.(spec.name, error, timeline);
    };
    const turn = (): void => {
      if (underWay) {
        // Said once a stretch: a schedule of every second must not fill the event log.
        if (skipped++ === 0) warnOfOverlap(platform, spec.name);
        return;
      }
      underWay = true;
      skipped = 0;
      platform.invoke(
        {
          callId: `cron-${spec.name}-${Date.now().toString(36)}-${(++calls).toString(36)}`,
          functionName: spec.name,
          method: 'POST',
          path: '/',
          query: '',
          headers: { 'x-nemo-trigger': 'cron', 'x-nemo-schedule': expression },
          body: NO_BODY,
        },
        {
          onHead: () => {},
          onChunk: () => {},
          onEnd: (timeline) => ended(undefined, timeline),
          onError: ended,
        },
      );
    };
    // An earlier agent may have stored what this one refuses: that must not keep it from starting.
    return new Turns(parseSchedule(expression), {
      onTurn: turn,
      onMissed: (dueMs) => warnOfMissed(platform, spec.name, dueMs),
    });
  };

  const follow = (name: string, spec: FunctionSpec | undefined): void => {
    tasks.get(name)?.close();
    tasks.delete(name);
    if (closed || spec?.schedule === undefined) return;
    try {
      tasks.set(name, start(spec, spec.schedule));
    } catch (thrown) {
      const message = `'${name}' is not called by the clock: ${asNemoError(thrown).message}`;
      platform.events.emit({ kind: 'warning', severity: 'warning', functionName: name, message });
    }
  };

  for (const spec of platform.registry.list()) follow(spec.name, spec);
  platform.registry.onChange(follow);
  return {
    scheduled: () => [...tasks.keys()].sort(),
    close() {
      closed = true;
      for (const task of tasks.values()) task.close();
      tasks.clear();
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

function warnOfMissed(platform: Platform, functionName: string, dueMs: number): void {
  platform.events.emit({
    kind: 'warning',
    severity: 'warning',
    functionName,
    message: `the scheduled call of '${functionName}' at ${new Date(dueMs).toISOString()} was left out: the box was suspended, or its clock was set`,
  });
}
