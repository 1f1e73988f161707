/** Where the code and the packages of functions are: for engines that load them, and for texts that name them. */

import { SourceNames } from '../bundle/source-names.js';
import type { NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { PackageRef, StoredPackage } from '../model/package.js';
import type { LoadOptions } from '../sandbox/engine.js';

export interface FilePaths {
  bundlePath: (spec: FunctionSpec) => string;
  packagePath: (hash: string) => string;
}

export class FunctionFiles {
  private readonly names = new SourceNames();
  /** What engines are told of a function; a new version is a new object. */
  private readonly loads = new WeakMap<FunctionSpec, LoadOptions>();

  constructor(private readonly paths: FilePaths) {}

  loadOptions(spec: FunctionSpec): LoadOptions {
    let options = this.loads.get(spec);
    if (options === undefined) {
      const { ref, env, memoryBytes, timeoutMs, concurrency, packages, egress } = spec;
      options = {
        ...{ ref, bundlePath: this.paths.bundlePath(spec) },
        ...{ env, memoryBytes, timeoutMs, concurrency },
        ...(packages === undefined ? {} : { packages: this.stored(packages) }),
        ...(egress === undefined ? {} : { egress }),
      };
      this.loads.set(spec, options);
    }
    return options;
  }

  stored(packages: readonly PackageRef[]): StoredPackage[] {
    return packages.map((one) => ({ ...one, path: this.paths.packagePath(one.hash) }));
  }

  /** A text of a function's, with the names of its own files. */
  ownNames(spec: FunctionSpec, text: string): string {
    return this.names.restore(this.paths.bundlePath(spec), text);
  }

  /** An error of a function's is to name its own files. */
  nameSources(spec: FunctionSpec, error: NemoError): void {
    this.names.restoreError(this.paths.bundlePath(spec), error);
  }
}
