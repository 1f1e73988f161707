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
import { damaged, foreignImport, notAModule } from './kind.js';
import { type MemorySize, OWN_MEMORY, PAGE_BYTES, takeMemoryOut } from './own-memory.js';
import { Exit, Preview1, WASI_FUNCTIONS, WASI_MODULE } from './preview1.js';

/** A larger memory is made anew for each call: clearing it would take as long, and it would stay resident. */
const REUSED_MAX_BYTES = 2 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const encode = (text: string): Uint8Array => Buffer.from(text);

/** A module as it is run; it can be sent from thread to thread. */
export interface Compiled {
  module: Module;
  memory: MemorySize;
  /** It has `_start`. */
  command: boolean;
}

/** What keeps a module from being a function here, and what to do; undefined if nothing does. Looks at names and kinds only. */
function unfit(module: Module): string | undefined {
  for (const { module: from, name, kind } of Wasm.Module.imports(module)) {
    // Where the module itself imported it, its own would have been a second one.
    if (kind === 'memory' && from === OWN_MEMORY[0] && name === OWN_MEMORY[1]) continue;
    if (from !== WASI_MODULE || kind !== 'function' || !WASI_FUNCTIONS.includes(name))
      return foreignImport(kind, from, name);
  }
  const exported = exportedKinds(module);
  if (exported.get('memory') !== 'memory') return 'it exports no memory: let the linker export it';
  if (exported.get('_start') === 'function') return undefined;
  if (exported.get('handle') === 'function')
    return exported.get('alloc') === 'function' ? undefined : 'it exports handle, but not alloc';
  const library = exported.has('_initialize') ? ', as a library (a WASI reactor) does not' : '';
  return `it exports neither _start nor handle${library}: build a program with a main function`;
}

function exportedKinds(module: Module): Map<string, string> {
  return new Map(Wasm.Module.exports(module).map(({ name, kind }) => [name, kind]));
}

/** Throws SyntaxError (which reads as BAD_FUNCTION) if the bytes are no module or one that cannot be a function. */
export function compile(code: Uint8Array, memoryBytes: number): Compiled {
  const other = notAModule(code);
  if (other !== undefined) throw new SyntaxError(other);
  let module: Module;
  let memory: MemorySize | undefined;
  try {
    // Checked before its bytes are read by us.
    // Compiling tells why.
    if (!Wasm.validate(code)) new Wasm.Module(code);
    const changed = takeMemoryOut(code, Math.floor(memoryBytes / PAGE_BYTES));
    memory = changed.memory;
    module = new Wasm.Module(changed.bytes);
  } catch (error) {
    const { message } = error as Error;
    throw new SyntaxError(error instanceof RangeError ? message : damaged(message));
  }
  const reason = unfit(module) ?? (memory === undefined ? 'its memory is not its own' : undefined);
  if (reason !== undefined) throw new SyntaxError(reason);
  return { module, memory: memory!, command: exportedKinds(module).get('_start') === 'function' };
}

/** The memory of the handler that ran last: of a command, kept for its next call unless another runs first. */
let latest: { of: RawHandler; memory: Memory } | undefined;
/** One for all functions of the thread, which run one at a time. */
let wasi: Preview1;

export function heldBytes(): number {
  return latest?.memory.buffer.byteLength ?? 0;
}

export function makeHandler(
  compiled: Compiled,
  functionName: string,
  env: Record<string, string>,
  onError: (text: string) => void,
): RawHandler {
  wasi ??= new Preview1(onError);
  const own = strings(env);
  return compiled.command ? commandHandler(compiled, own) : reactorHandler(compiled, functionName, own);
}

function instantiate(module: Module, memory: Memory): Record<string, unknown> {
  const imports = { [WASI_MODULE]: wasi.imports, [OWN_MEMORY[0]]: { [OWN_MEMORY[1]]: memory } };
  return new Wasm.Instance(module, imports).exports;
}

function commandHandler({ module, memory: size }: Compiled, own: readonly Uint8Array[]): RawHandler {
  const bytes = size.initial * PAGE_BYTES;
  const handler: RawHandler = (body, context) => {
    const memory = latest?.of === handler ? latest.memory : new Wasm.Memory(size);
    latest = undefined;
    wasi.begin(memory, body, context.functionName, () => [
      ...own,
      ...strings(requestEnvironment(context, body.length)),
    ]);
    const { _start } = instantiate(module, memory);
    try {
      (_start as () => void)();
    } catch (thrown) {
      if (!(thrown instanceof Exit) || thrown.code !== 0) throw thrown;
    } finally {
      // One that grew cannot be made smaller again.
      if (bytes <= REUSED_MAX_BYTES && memory.buffer.byteLength === bytes) {
        new Uint8Array(memory.buffer).fill(0);
        latest = { of: handler, memory };
      }
    }
    return wasi.output.length === 1 ? wasi.output[0] : Buffer.concat(wasi.output);
  };
  return handler;
}

interface Reactor {
  memory: Memory;
  alloc(length: number): number;
  handle(pointer: number, length: number): bigint;
  _initialize?(): void;
}

function reactorHandler(
  { module, memory: size }: Compiled,
  functionName: string,
  own: readonly Uint8Array[],
): RawHandler {
  let kept: Reactor | undefined;
  const variables = (): readonly Uint8Array[] => own;
  const instance = (): Reactor => {
    const memory = new Wasm.Memory(size);
    wasi.begin(memory, NOTHING, functionName, variables);
    const reactor = instantiate(module, memory) as unknown as Reactor;
    reactor._initialize?.();
    return reactor;
  };
  // The first call finds it there.
  kept = instance();
  const handler: RawHandler = (body) => {
    kept ??= instance();
    const { memory, alloc, handle } = kept;
    latest = { of: handler, memory };
    wasi.begin(memory, NOTHING, functionName, variables);
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
  handler.keepsInstance = true;
  return handler;
}

function strings(environment: Record<string, string>): Uint8Array[] {
  return Object.entries(environment).map(([name, value]) => encode(`${name}=${value}`));
}
