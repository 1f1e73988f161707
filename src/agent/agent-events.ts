/** What happens in the agent's parts, in the words and the fields of the event log. */

import type { Control } from '../control/control.js';
import type { NemoError } from '../model/errors.js';
import type { EventLog } from '../model/platform.js';
import { FROZEN, LADDER } from '../policy/conflict/ladder.js';
import type { Instance } from '../pool/instance.js';
import type { SandboxExit } from '../sandbox/engine.js';
import { CONFLICT } from '../tunables/index.js';

/** `awayMs`: how long the function shall keep away from that core; 0: it may come back at once. */
type OnBlamed = (worker: Instance, core: number, awayMs: number, cause: string) => void;

export class AgentEvents {
  constructor(private readonly log: EventLog) {}

  warn(message: string): void {
    this.log.emit({ kind: 'warning', severity: 'warning', message });
  }

  /** The ladder's steps, and who was blamed for a conflict; owners see it where they look for what their function prints. */
  follow(control: Control, workers: ReadonlyMap<string, Instance>, blamed: OnBlamed): void {
    const runs = (slot: number): Instance | undefined => {
      for (const worker of workers.values())
        if (worker.slot === slot && worker.functionKey !== '') return worker;
      return undefined;
    };
    control.on('warning', (message) => this.warn(message));
    control.on('level', ({ core, from, to, cause, reactionUs, ran }) => {
      const down = to > from;
      const [before, after] = [LADDER[from]!.name, LADDER[to]!.name];
      const alone = ofOneFunction(ran?.map(runs));
      const beside = alone === undefined ? '' : `, "${alone.functionKey}" ran alone`;
      const event = {
        severity: to >= FROZEN ? ('warning' as const) : ('info' as const),
        message: `core ${core}: ${before} -> ${after}: ${cause}${beside}`,
        ...{ core, cause, fromLevel: from, toLevel: to },
        ...(alone === undefined ? {} : { functionName: alone.functionKey, sandboxId: alone.id }),
      };
      this.log.emit(down ? { kind: 'throttle', ...event, reactionUs } : { kind: 'recover', ...event });
      if (alone !== undefined) blamed(alone, core, 0, `${cause}: nothing else ran on core ${core}`);
    });
    control.on('culprit', ({ core, slot, holdMs, cause, reactionUs }) => {
      const worker = runs(slot);
      if (worker === undefined) return;
      const { functionKey: functionName, id: sandboxId } = worker;
      const message = `"${functionName}" slowed packets on core ${core}: ${cause}`;
      const severity = 'warning';
      this.log.emit({
        kind: 'conflict',
        ...{ severity, message, core, functionName, sandboxId, cause, reactionUs },
      });
      blamed(worker, core, holdMs * CONFLICT.awayPerHold, cause);
    });
  }

  sandboxEnded({ id: sandboxId, functionKey: functionName }: Instance, { cause }: SandboxExit): void {
    if (cause === 'killed') return;
    const of = functionName === '' ? 'a stem' : `"${functionName}"`;
    this.log.emit({
      kind: 'sandbox-ended',
      severity: 'warning',
      message: `${sandboxId} of ${of} ended: ${cause}`,
      sandboxId,
      ...(functionName === '' ? {} : { functionName }),
    });
  }

  sandboxEvicted(functionName: string, sandboxId: string, why: string): void {
    const message = `${sandboxId} of "${functionName}" was ended: ${why}`;
    this.log.emit({ kind: 'sandbox-evicted', severity: 'info', message, functionName, sandboxId });
  }

  callFailed(functionName: string, error: NemoError, sandboxId: string | undefined): void {
    if (error.blame === 'system' && error.code !== 'STOPPING') {
      const message = error.ownersMessage;
      this.log.emit({ kind: 'warning', severity: 'warning', message, functionName });
    }
    if (error.code === 'FUNCTION_ERROR') return;
    this.log.emit({
      kind: 'function-failed',
      severity: 'error',
      message: error.message,
      functionName,
      cause: error.code,
      ...(sandboxId === undefined ? {} : { sandboxId }),
    });
  }

  functionChanged(functionName: string, deployed: boolean): void {
    const kind = deployed ? 'function-deployed' : 'function-removed';
    const message = `function "${functionName}" was ${deployed ? 'deployed' : 'removed'}`;
    this.log.emit({ kind, severity: 'info', message, functionName });
  }
}

/** One of them, if all run the same function: then it is to blame, however alike they are. */
function ofOneFunction(workers: ReadonlyArray<Instance | undefined> = []): Instance | undefined {
  const [first] = workers;
  return workers.every((worker) => worker?.functionKey === first?.functionKey) ? first : undefined;
}
