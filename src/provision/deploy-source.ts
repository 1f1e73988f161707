/**
 * What a function is made of, found in the fields of its deploy. This is the only place that looks: from here on it is a
 * `FunctionSource`. Whether its engine runs that is for the engine to say (`Engines.prepare`).
 */

import { checkPackages } from '../bundle/pack.js';
import { checkImageRequest } from '../images/reference.js';
import { NemoError } from '../model/errors.js';
import type { FunctionId } from '../model/function-ref.js';
import type { ExecMode, FunctionSource } from '../model/function-source.js';
import type { DeployInput } from '../model/platform.js';

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const FILENAME_MAX = 255;
/** With which WebAssembly begins. */
const WASM_MAGIC = Buffer.from('\0asm', 'latin1');
/** Bytes for it are WebAssembly, or meant to be: it says best what they are instead. */
const WASM_ENGINE = 'wasm';
/** Fields that only one kind has. */
const OF_IMAGE = ['handler', 'port'] as const;
const NOT_OF_IMAGE = ['code', 'codeBase64', 'packages', 'exec'] as const;

/** BAD_REQUEST; BAD_FUNCTION for what names no image. */
export function sourceOf(input: DeployInput, { name, key }: FunctionId): FunctionSource {
  const { image, handler, port, exec, codeBase64, engine, filename = `${name}.ts` } = input;
  if (typeof filename !== 'string' || filename.length > FILENAME_MAX) {
    throw bad(
      `filename is not a string of at most ${FILENAME_MAX} characters`,
      'leave it out, or name the source file',
    );
  }
  if (image !== undefined) {
    refuse(key, input, NOT_OF_IMAGE, 'an image');
    return { kind: 'image', ...checkImageRequest({ image, handler, port }) };
  }
  refuse(key, input, OF_IMAGE, 'code');
  const content = contentOf(key, input);
  if (exec !== undefined) {
    refuse(key, input, ['packages'], 'a program');
    return { kind: 'program', content, filename, exec: checkExec(exec) };
  }
  if (codeBase64 !== undefined && (engine === WASM_ENGINE || startsAsWasm(content))) {
    refuse(key, input, ['packages'], 'WebAssembly');
    return { kind: 'wasm', content, filename };
  }
  return { kind: 'module', content, filename, packages: checkPackages(input.packages ?? []) };
}

function startsAsWasm(content: Buffer): boolean {
  return content.subarray(0, WASM_MAGIC.length).equals(WASM_MAGIC);
}

function refuse(
  key: string,
  input: DeployInput,
  fields: ReadonlyArray<keyof DeployInput>,
  what: string,
): void {
  // An empty list is as good as none.
  const given = fields.find((field) => input[field] !== undefined && !isEmptyList(input[field]));
  if (given === undefined) return;
  throw bad(`function '${key}' is ${what}, which takes no ${given}`, `leave ${given} out`);
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function checkExec(exec: unknown): ExecMode {
  if (exec === 'stdio' || exec === 'http') return exec;
  throw bad(`exec is ${String(exec).slice(0, 40)}`, "it is 'stdio' or 'http'");
}

/** Text in `code`, or bytes in `codeBase64`. */
function contentOf(key: string, { code, codeBase64 }: DeployInput): Buffer {
  if (code !== undefined && codeBase64 !== undefined)
    throw bad(`function '${key}' has both code and codeBase64`, 'send one of the two');
  if (codeBase64 !== undefined) {
    if (typeof codeBase64 === 'string' && BASE64.test(codeBase64)) return Buffer.from(codeBase64, 'base64');
    throw bad('codeBase64 is not base64', 'encode the bytes of the module or program, without line breaks');
  }
  if (typeof code === 'string' && code.trim() !== '') return Buffer.from(code);
  throw bad(
    `function '${key}' has no code`,
    'put the source text of one module into "code", or the name of a container image into "image"',
  );
}

function bad(message: string, hint: string): NemoError {
  return new NemoError('BAD_REQUEST', message, { hint });
}
