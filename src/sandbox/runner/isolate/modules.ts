/**
 * Evaluates a function's bundle as an ES module of this isolate whose every import, static or not, comes through
 * here. Modules that would reveal more than they need are given in a reduced form.
 */

import { createRequire } from 'node:module';
import { type Module, SourceTextModule, SyntheticModule } from 'node:vm';
import { bareName, isAllowed, refusal } from './allowed.js';

const load = createRequire('/runner/');
const MODULE_PATH = '/function/function.mjs';

export class Modules {
  private readonly made = new Map<string, SyntheticModule>();
  private readonly exported = new Map<string, Record<string, unknown>>();

  constructor(own: { process: object; console: object }) {
    this.exported.set('process', own.process as Record<string, unknown>);
    this.exported.set('console', own.console as Record<string, unknown>);
    // Bundled CommonJS code asks for it, to require what is allowed here.
    this.exported.set('module', { createRequire: () => this.require });
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

  private readonly require = (specifier: string): unknown => {
    if (!isAllowed(specifier)) throw new Error(refusal(specifier));
    const name = bareName(specifier);
    return this.exported.get(name) ?? reduced(name, load(`node:${name}`) as Record<string, unknown>);
  };

  private module(specifier: string): SyntheticModule {
    const name = bareName(specifier);
    let module = this.made.get(name);
    if (module === undefined) {
      const exported = this.require(specifier) as Record<string, unknown>;
      const names = Object.keys(exported).filter((key) => key !== 'default');
      module = new SyntheticModule(['default', ...names], function (this: SyntheticModule) {
        this.setExport('default', exported);
        for (const key of names) this.setExport(key, exported[key]);
      });
      this.made.set(name, module);
    }
    return module;
  }
}

/** Without what acts on the whole process, or shows what is the runner's own. */
function reduced(name: string, exported: Record<string, unknown>): unknown {
  if (name === 'async_hooks') {
    const { AsyncLocalStorage, AsyncResource } = exported;
    return { AsyncLocalStorage, AsyncResource };
  }
  if (name !== 'crypto') return exported;
  const { setEngine: _engine, setFips: _fips, ...rest } = exported;
  return rest;
}
