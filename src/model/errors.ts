/**
 * The one error type of the system. A code is stable: scripts and clients may match on it.
 * A message names the thing that failed; `hint` says the way out.
 */

/** Whose fault, the HTTP status, and what the code means. */
const CODES = {
  // the user's
  BAD_REQUEST: ['user', 400, 'the request does not have the expected form'],
  BAD_CONFIG: ['user', 400, 'a configuration value is missing, of the wrong type or out of range'],
  BAD_PROFILE: ['user', 400, 'an NF profile does not fit the schema'],
  BAD_CAPTURE: ['user', 400, 'a packet capture cannot be read'],
  BAD_FUNCTION: ['user', 400, 'function code does not parse, or exports no handler'],
  NOT_FOUND: ['user', 404, 'no function, NF or file of that name'],
  EXISTS: ['user', 409, 'a thing of that name is already there'],
  BODY_TOO_LARGE: ['user', 413, 'a request body or reply is larger than allowed'],
  BODY_CODING: ['user', 415, 'a request body is packed, or written in a charset, that is not known'],
  NO_SUCH_CORE: ['user', 400, 'a core that this machine does not have or that is offline'],
  NO_SUCH_INTERFACE: ['user', 400, 'a network interface that is not there'],
  PORT_IN_USE: ['user', 500, 'another program listens on the port'],
  AGENT_RUNNING: ['user', 409, 'another agent already manages this box'],
  AGENT_UNREACHABLE: ['user', 503, 'no agent answers at the given address'],
  NOT_ROOT: ['user', 403, 'the operation needs root'],
  DEADLINE_EXCEEDED: ['user', 504, 'the call had no answer within the time that its caller gave it'],
  CALLER_LEFT: ['user', 499, 'whoever called did not wait for the answer'],
  MISSING_PACKAGE: ['user', 500, 'a program that NEMO needs is not installed'],
  // the function's
  FUNCTION_ERROR: ['function', 500, 'the function threw'],
  FUNCTION_TIMEOUT: ['function', 504, 'the function did not answer within its timeout'],
  FUNCTION_OOM: ['function', 507, 'the function used more memory than its limit'],
  FUNCTION_EXIT: ['function', 502, 'the function ended its own process'],
  FUNCTION_LOAD: ['function', 502, 'the function failed while it was being loaded'],
  // the system's
  OVERLOADED: ['system', 429, 'the queue of the function or of the box is full'],
  NO_CAPACITY: ['system', 503, 'the box has no memory left for another sandbox'],
  STOPPING: ['system', 503, 'the agent is stopping'],
  SANDBOX_START: ['system', 503, 'a sandbox could not be started'],
  SYSCALL: ['system', 500, 'the kernel refused a system call'],
  UNSUPPORTED: ['system', 501, 'this host cannot do that'],
  INTERFACE_GONE: ['system', 500, 'a network interface disappeared while in use'],
  BAD_TELEMETRY: ['system', 502, 'an NF tells of itself too late, too much or what cannot be'],
  STORAGE_FULL: ['system', 507, 'the store or its disk has no room for what was sent'],
  STORE: ['system', 500, 'the store could not be read or written'],
  INTERNAL: ['system', 500, 'a fault in NEMO itself'],
} as const satisfies Record<string, readonly ['user' | 'function' | 'system', number, string]>;

export type ErrorCode = keyof typeof CODES;
export type Blame = 'user' | 'function' | 'system';

export const ERROR_CODES = Object.keys(CODES) as ErrorCode[];

/**
 * Details for whoever owns the function or the box, who finds them in the log: what a function's stack and its stderr
 * say is nobody else's business.
 */
const OWNERS_ONLY: ReadonlySet<string> = new Set(['stack', 'stderrTail']);

export interface NemoErrorOptions {
  /** The way out, one sentence. */
  hint?: string;
  /** Facts for scripts: small, flat, never secret. */
  details?: Record<string, string | number | boolean>;
  cause?: unknown;
}

export class NemoError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, string | number | boolean> | undefined;

  constructor(code: ErrorCode, message: string, options: NemoErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'NemoError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }

  get blame(): Blame {
    return CODES[this.code][0];
  }

  get httpStatus(): number {
    return CODES[this.code][1];
  }

  /** For logs and events: the message, and the last that the sandbox's programs said. */
  get ownersMessage(): string {
    const tail = this.details?.stderrTail;
    const last = typeof tail === 'string' ? (tail.trimEnd().split('\n').at(-1)?.slice(0, 300) ?? '') : '';
    return last === '' ? this.message : `${this.message}; it last said: ${last}`;
  }

  /** As callers get it. */
  toJSON(): { error: { code: ErrorCode; message: string; hint?: string; details?: object } } {
    return {
      error: {
        code: this.code,
        message: this.message,
        ...(this.hint === undefined ? {} : { hint: this.hint }),
        ...this.toldDetails(),
      },
    };
  }

  private toldDetails(): { details?: object } {
    const told = Object.entries(this.details ?? {}).filter(([name]) => !OWNERS_ONLY.has(name));
    return told.length === 0 ? {} : { details: Object.fromEntries(told) };
  }
}

/** Any thrown value as a NemoError; a foreign one becomes INTERNAL, or STORAGE_FULL, with the original as its cause. */
export function asNemoError(thrown: unknown): NemoError {
  if (thrown instanceof NemoError) return thrown;
  if (isStorageFull(thrown)) {
    return new NemoError('STORAGE_FULL', 'no space left on the disk', {
      hint: 'make room in the state directory, or remove functions that are not needed',
      cause: thrown,
    });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new NemoError('INTERNAL', message, { cause: thrown });
}

/** How a full disk is told: as node names it, by the kernel's number, and LMDB's own for a map that cannot grow. */
const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 28, 122, 'MDB_MAP_FULL', -30_792]);
const FULL_TEXT = /\b(ENOSPC|EDQUOT|MDB_MAP_FULL)\b|no space left on device|disk quota exceeded/i;

/** The one place that knows. Looks into causes, too. */
export function isStorageFull(thrown: unknown): boolean {
  for (let depth = 0; depth < 5 && typeof thrown === 'object' && thrown !== null; depth++) {
    const { code, message, cause } = thrown as { code?: unknown; message?: unknown; cause?: unknown };
    if (FULL.has(code) || (typeof message === 'string' && FULL_TEXT.test(message))) return true;
    thrown = cause;
  }
  return false;
}
