/**
 * What happens on a box that an operator would want to know: each kind of event, and what it carries beside its message. Only
 * here; the event log, the feed, the console and everybody who reports something have it from here.
 */

/** A core: what is done to it, and why. */
interface OfCore {
  core: number;
  cause: string;
  fromLevel: number;
  toLevel: number;
  /** The one function that ran there, if it ran alone. */
  functionName?: string;
  sandboxId?: string;
}

interface OfFunction {
  /** `FunctionRef.key`. */
  functionName: string;
}

export interface PlatformEvents {
  'nf-found': { nf: string };
  'nf-gone': { nf: string };
  'nf-protected': { nf: string };
  /** A function was blamed for late packets. `reactionUs`: from the sign to the applied throttle. */
  conflict: OfFunction & { core: number; sandboxId: string; cause: string; reactionUs: number };
  throttle: OfCore & { reactionUs: number };
  recover: OfCore;
  'function-deployed': OfFunction;
  'function-removed': OfFunction;
  /** `cause`: an error code. */
  'function-failed': OfFunction & { cause: string; sandboxId?: string };
  'sandbox-ended': { sandboxId: string; functionName?: string };
  'sandbox-evicted': OfFunction & { sandboxId: string };
  'agent-started': object;
  'agent-stopping': object;
  /** What an engine does that takes long, or cannot do. */
  engine: object;
  warning: { functionName?: string };
}

export type EventKind = keyof PlatformEvents;
export type Severity = 'info' | 'warning' | 'error';

/** As it is reported. */
export type PlatformEvent = {
  [Kind in EventKind]: { kind: Kind; severity: Severity; message: string } & PlatformEvents[Kind];
}[EventKind];
