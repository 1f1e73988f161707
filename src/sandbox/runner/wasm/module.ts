/**
 * A module and how it is called. Two conventions:
 *
 * - `_start` (a WASI command): a fresh instance each call; the body on stdin, the answer on stdout, the request in
 *   the environment as in CGI. Nothing of a call can be left for the next one.
 * - `handle(pointer, length) -> i64` with `alloc(length) -> pointer`: one instance that stays. The body is put
 *   where `alloc` says; the result is `pointer << 32 | length` of the answer. A trap ends the instance.
 */

import { Buffer } from 'node:buffer';
import type { RawHandler } from '../calls.js';
import { requestEnvironment } from '../cgi.js';
import { type Memory, type Module, Wasm } from './api.js';
import { limitMemory, PAGE_BYTES } from './limit-memory.js';
import { Exit, Preview1, WASI_FUNCTIONS, WASI_MODULE } from './preview1.js';

const encode = (text: string): Uint8Array => Buffer.from(text);

/** What keeps a module from being a function here; undefined if nothing does. Looks at names and kinds only. */
export function unfit(module: Module): string | undefined {
  for (const { module: from, name, kind } of Wasm.Module.imports(module)) {
    if (from !== WASI_MODULE || kind !== 'function' || !WASI_FUNCTIONS.includes(name)) {
      return `it imports the ${kind} ${from}.${name}, which nobody provides here`;
    }
  }
  const exported = new Map(Wasm.Module.exports(module).map(({ name, kind }) => [name, kind]));
  if (exported.get('memory') !== 'memory') return 'it exports no memory';
  if (exported.get('_start') === 'function') return undefined;
  if (exported.get('handle') !== 'function') return 'it exports neither _start nor handle';
  return exported.get('alloc') === 'function' ? undefined : 'it exports handle, but not alloc';
}

/** Throws SyntaxError (which reads as BAD_FUNCTION) if the bytes are no module or one that cannot be a function. */
export function compile(code: Uint8Array, memoryBytes: number): Module {
  let module: Module;
  try {
    // Checked before its bytes are read by us.
    // Compiling tells why.
    if (!Wasm.validate(code)) new Wasm.Module(code);
    const limited = limitMemory(code, Math.floor(memoryBytes / PAGE_BYTES));
    module = new Wasm.Module(limited);
  } catch (error) {
    throw new SyntaxError((error as Error).message);
  }
  const reason = unfit(module);
  if (reason !== undefined) throw new SyntaxError(reason);
  return module;
}

export function makeHandler(
  module: Module,
  env: Record<string, string>,
  onError: (text: string) => void,
): RawHandler {
  const own = strings(env);
  const command = Wasm.Module.exports(module).some(({ name }) => name === '_start');
  return command ? commandHandler(module, own, onError) : reactorHandler(module, own, onError);
}

function commandHandler(
  module: Module,
  own: readonly Uint8Array[],
  onError: (text: string) => void,
): RawHandler {
  return (body, context) => {
    const environment = [...own, ...strings(requestEnvironment(context))];
    const wasi = new Preview1({ input: body, environment, onError });
    const { exports } = new Wasm.Instance(module, { [WASI_MODULE]: wasi.imports() });
    wasi.memory = exports.memory as Memory;
    try {
      (exports._start as () => void)();
    } catch (thrown) {
      if (!(thrown instanceof Exit) || thrown.code !== 0) throw thrown;
    }
    return wasi.output.length === 1 ? wasi.output[0] : Buffer.concat(wasi.output);
  };
}

interface Reactor {
  memory: Memory;
  alloc(length: number): number;
  handle(pointer: number, length: number): bigint;
  _initialize?(): void;
}

function reactorHandler(
  module: Module,
  own: readonly Uint8Array[],
  onError: (text: string) => void,
): RawHandler {
  let kept: Reactor | undefined;
  const instance = (): Reactor => {
    const wasi = new Preview1({ input: Buffer.alloc(0), environment: own, onError });
    const { exports } = new Wasm.Instance(module, { [WASI_MODULE]: wasi.imports() });
    const reactor = exports as unknown as Reactor;
    wasi.memory = reactor.memory;
    reactor._initialize?.();
    return reactor;
  };
  // The first call finds it there.
  kept = instance();
  return (body) => {
    kept ??= instance();
    const { memory, alloc, handle } = kept;
    try {
      const pointer = body.length === 0 ? 0 : alloc(body.length) >>> 0;
      if (body.length > 0) new Uint8Array(memory.buffer, pointer, body.length).set(body);
      const packed = BigInt.asUintN(64, handle(pointer, body.length));
      const [at, length] = [Number(packed >> 32n), Number(packed & 0xffffffffn)];
      return new Uint8Array(memory.buffer, at, length).slice();
    } catch (thrown) {
      kept = undefined;
      throw thrown;
    }
  };
}

function strings(environment: Record<string, string>): Uint8Array[] {
  return Object.entries(environment).map(([name, value]) => encode(`${name}=${value}`));
}
