/** What is used of the WebAssembly JavaScript interface: its types come with those of browsers, which node has not. */

declare const compiled: unique symbol;
export interface Module {
  readonly [compiled]: true;
}

export interface Memory {
  readonly buffer: ArrayBuffer;
}

export type Imports = Record<string, Record<string, ((...args: never[]) => unknown) | Memory>>;

interface Described {
  name: string;
  kind: 'function' | 'memory' | 'table' | 'global';
}

interface Api {
  validate(bytes: Uint8Array): boolean;
  Module: {
    new (bytes: Uint8Array): Module;
    imports(module: Module): Array<Described & { module: string }>;
    exports(module: Module): Described[];
  };
  Memory: new (size: { initial: number; maximum: number }) => Memory;
  Instance: new (module: Module, imports: Imports) => { exports: Record<string, unknown> };
}

export const Wasm = (globalThis as unknown as { WebAssembly: Api }).WebAssembly;
