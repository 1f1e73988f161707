/**
 * The engines of this box by their names. One is opened when a function asks for it first, so that what nobody uses
 * costs nothing. Opening is not checking: `check` starts a trial sandbox where the engine has one.
 */

import { asNemoError, NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { SourceKind } from '../model/function-source.js';
import type { EngineReport } from '../model/platform.js';
import type { Engine, EngineEntry, PrepareRequest } from '../sandbox/engine.js';
import { ENGINES } from '../tunables/index.js';

const SOURCE_NAMES: Record<SourceKind, string> = {
  module: 'a JavaScript or TypeScript module (`code`)',
  program: 'a program (`exec`)',
  wasm: 'a WebAssembly module (`codeBase64`)',
  image: 'a container image (`image`)',
};

/** What stems are told apart by. */
export interface StemKind {
  readonly key: string;
  readonly engine: string;
  readonly variant: string;
}

export function stemKind(engine: string, variant = ''): StemKind {
  return { key: variant === '' ? engine : `${engine}/${variant}`, engine, variant };
}

export class Engines {
  private readonly entries = new Map<string, EngineEntry>();
  private readonly opened = new Map<string, Promise<Engine>>();
  private readonly reports = new Map<string, { atMs: number; report: Promise<EngineReport> }>();

  constructor(entries: readonly EngineEntry[]) {
    for (const entry of entries) this.entries.set(entry.kind, entry);
  }

  /** The engine of that name. BAD_REQUEST if there is none. */
  get(kind: string): Promise<Engine> {
    const entry = this.entry(kind);
    let engine = this.opened.get(kind);
    if (engine === undefined) {
      engine = entry.open();
      this.opened.set(kind, engine);
      engine.catch(() => this.opened.delete(kind));
    }
    return engine;
  }

  /** The stems that fit a function. */
  stemKind({ engine, ...rest }: FunctionSpec): StemKind {
    return stemKind(engine, this.entries.get(engine)?.variant?.({ engine, ...rest }) ?? '');
  }

  /** Whether `prepare` would have taken it, as it is stored. */
  runs({ engine, source, packages = [], egress = [] }: FunctionSpec): boolean {
    const entry = this.entries.get(engine);
    if (entry === undefined || !entry.runs.includes(source.kind)) return false;
    return (
      (packages.length === 0 || entry.packages === true) && (egress.length === 0 || entry.egress === true)
    );
  }

  /** See `EngineEntry`. */
  ownBytes(kind: string): NonNullable<EngineEntry['ownBytes']> {
    return this.entries.get(kind)?.ownBytes ?? { sandbox: 0, process: 0 };
  }

  /** The engine's part of a deploy. BAD_REQUEST without such an engine, UNSUPPORTED where it does not work here. */
  async prepare(kind: string, request: PrepareRequest): Promise<Buffer> {
    const { source } = request;
    this.requireRuns(kind, request);
    if (request.egress === true && this.entry(kind).egress !== true) {
      throw new NemoError('BAD_REQUEST', `functions of the engine ${kind} have no network`, {
        hint: 'leave egress out, or choose the engine process',
      });
    }
    if (source.kind === 'module' && source.packages.length > 0 && this.entry(kind).packages !== true) {
      throw new NemoError('BAD_REQUEST', `functions of the engine ${kind} have their packages in the code`, {
        hint: `deploy with \`nemo deploy --engine ${kind}\`, which puts them there`,
      });
    }
    const engine = await this.get(kind);
    const { ok, reason = '', hint = '' } = await this.check(kind);
    if (!ok) throw new NemoError('UNSUPPORTED', `the engine ${kind} does not work here: ${reason}`, { hint });
    return engine.prepare(request);
  }

  /** Whether an engine works here. A recent answer is given again: a check may start a process. */
  check(kind: string): Promise<EngineReport> {
    const known = this.reports.get(kind);
    if (known !== undefined && performance.now() - known.atMs < ENGINES.checkKeptMs) return known.report;
    const report = this.look(this.entry(kind));
    this.reports.set(kind, { atMs: performance.now(), report });
    return report;
  }

  async list(): Promise<EngineReport[]> {
    const reports: EngineReport[] = [];
    // One after the other: trial sandboxes are no load of their own.
    for (const kind of this.entries.keys()) reports.push(await this.check(kind));
    return reports;
  }

  /** These are the functions there are: what engines keep of others goes. */
  async retain(functions: readonly FunctionSpec[]): Promise<void> {
    for (const { kind, keeps } of this.entries.values()) {
      if (keeps?.()) (await this.get(kind)).retain?.(functions.filter(({ engine }) => engine === kind));
    }
  }

  async close(): Promise<void> {
    const engines = await Promise.allSettled(this.opened.values());
    await Promise.all(engines.map((engine) => engine.status === 'fulfilled' && engine.value.close()));
  }

  private entry(kind: string): EngineEntry {
    const entry = this.entries.get(kind);
    if (entry !== undefined) return entry;
    throw new NemoError('BAD_REQUEST', `'${kind.slice(0, 40)}' is not an engine`, {
      hint: `there are ${[...this.entries.keys()].join(', ')}; \`nemo engines\` says which work here`,
    });
  }

  /** Where it is refused that an engine does not run a kind of source. */
  private requireRuns(engine: string, { functionName, source }: PrepareRequest): void {
    const { runs } = this.entry(engine);
    if (runs.includes(source.kind)) return;
    const others = [...this.entries.values()].filter((entry) => entry.runs.includes(source.kind));
    const choose =
      others.length === 0 ? '' : `choose the engine ${others.map(({ kind }) => kind).join(' or ')}, or `;
    const wanted = runs.map((kind) => SOURCE_NAMES[kind]).join(' or ');
    throw new NemoError(
      'BAD_REQUEST',
      `function '${functionName}' is ${SOURCE_NAMES[source.kind]}, and the engine ${engine} runs only ${wanted}`,
      { hint: `${choose}deploy ${wanted}` },
    );
  }

  private async look({ kind, about }: EngineEntry): Promise<EngineReport> {
    try {
      const engine = await this.get(kind);
      return { kind, about, ...(await engine.check()) };
    } catch (thrown) {
      const { message, hint } = asNemoError(thrown);
      return { kind, about, ok: false, reason: message, hint: hint ?? 'run `nemo doctor`' };
    }
  }
}
