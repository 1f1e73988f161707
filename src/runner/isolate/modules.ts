/**
 * Evaluates a function's bundle as an ES module of this isolate whose every import, static or not, comes through
 * here. Modules that would reveal more than they need are given in a reduced form. All of this runs again and again
 * after the function's code has: see primordials.ts.
 */

import { createRequire } from 'node:module';
import { type Module, SourceTextModule, SyntheticModule } from 'node:vm';
import { allowedName, refusal } from './allowed.js';
import { asyncHooks } from './async-storage.js';

const load = createRequire('/runner/');
const MODULE_PATH = '/function/function.mjs';
const keysOf = Object.keys;
const noNames = Object.create.bind(Object, null) as () => object;

type Exports = Record<string, unknown>;

/** What acts on the whole process, or prints past the function's own log. */
const LEFT_OUT: Record<string, readonly string[]> = Object.assign(noNames(), {
  crypto: ['setEngine', 'setFips', 'fips'],
  util: ['log', 'setTraceSigInt'],
});

export class Modules {
  private readonly made = noNames() as Record<string, SyntheticModule>;
  private readonly exported = noNames() as Record<string, Exports>;

  constructor(own: { process: object; console: object }) {
    this.exported.process = own.process as Exports;
    this.exported.console = own.console as Exports;
    this.exported.async_hooks = asyncHooks;
    // Bundled CommonJS code asks for it, to require what is allowed here.
    this.exported.module = { createRequire: () => this.require };
  }

  async evaluate(code: string): Promise<unknown> {
    const module = new SourceTextModule(code, {
      identifier: MODULE_PATH,
      initializeImportMeta: (meta) => {
        meta.url = `file://${MODULE_PATH}`;
      },
      importModuleDynamically: async (specifier: string) => {
        const wanted = this.module(specifier);
        if (wanted.status === 'unlinked') await wanted.link(() => wanted);
        await wanted.evaluate();
        return wanted;
      },
    } as ConstructorParameters<typeof SourceTextModule>[1]);
    await module.link((specifier) => this.module(specifier) as Module);
    await module.evaluate();
    return (module.namespace as { default?: unknown }).default;
  }

  private readonly require = (specifier: unknown): Exports => {
    const name = allowedName(specifier);
    if (name === undefined) throw new Error(refusal(specifier));
    this.exported[name] ??= reduced(name, load(`node:${name}`) as Exports);
    return this.exported[name];
  };

  private module(specifier: string): SyntheticModule {
    const exported = this.require(specifier);
    const name = allowedName(specifier)!;
    const known = this.made[name];
    if (known !== undefined) return known;
    const names = ['default'];
    const keys = keysOf(exported);
    for (let i = 0; i < keys.length; i++) if (keys[i] !== 'default') names[names.length] = keys[i]!;
    const module = new SyntheticModule(names, () => {
      module.setExport('default', exported);
      for (let i = 1; i < names.length; i++) module.setExport(names[i]!, exported[names[i]!]);
    });
    this.made[name] = module;
    return module;
  }
}

function reduced(name: string, exported: Exports): Exports {
  const leftOut = LEFT_OUT[name];
  if (leftOut === undefined) return exported;
  const rest: Exports = {};
  const keys = keysOf(exported);
  next: for (let i = 0; i < keys.length; i++) {
    for (let j = 0; j < leftOut.length; j++) if (leftOut[j] === keys[i]) continue next;
    rest[keys[i]!] = exported[keys[i]!];
  }
  return rest;
}
