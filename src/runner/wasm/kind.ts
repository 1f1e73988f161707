/**
 * Words for what is not a module that can be a function here: what it is, and what to build instead. Looks at first bytes, at
 * the kind of its memory and at names of imports; the engine's own words come last.
 */

import { Buffer } from 'node:buffer';
import { CUSTOM_SECTION, MEMORY_SECTION, readLeb, sections } from './own-memory.js';

const MODULE = 'build it for wasm32-wasip1 (Rust: --target wasm32-wasip1; Go: GOOS=wasip1; C: wasi-sdk)';
const SHARED = 2;
const BITS_64 = 4;
/** So much of a text is looked at, which may begin with a licence. */
const TEXT_BYTES = 16_384;
/** A byte order mark in UTF-8, each byte as a character. */
const MARK = '\xef\xbb\xbf';
/** The text format lets `(module` be left out around what is in it. */
const FIELD = /^\(\s*(?:module|type|rec|import|func|table|memory|global|export|start|elem|data|tag)(?![\w-])/;

const HEADS: ReadonlyArray<readonly [head: readonly number[], what: string]> = [
  [[0x1f, 0x8b], 'it is compressed with gzip: send it unpacked'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'it is compressed with zstd: send it unpacked'],
  [[0x50, 0x4b, 0x03, 0x04], 'it is a zip archive: send the .wasm file that is in it'],
  [
    [0x7f, 0x45, 0x4c, 0x46],
    `it is a Linux program, not WebAssembly: ${MODULE}, or deploy it with another engine`,
  ],
  [[0x42, 0x43, 0xc0, 0xde], `it is LLVM bitcode, which nobody has linked: ${MODULE}`],
];

/** Undefined for what has the head of a module of 32 bits. */
export function notAModule(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'it is empty';
  for (const [head, what] of HEADS) if (head.every((byte, i) => bytes[i] === byte)) return what;
  if (bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d) return otherText(bytes);
  if (bytes.length < 8) return 'it ends within its first 8 bytes: send it again';
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const [version, layer] = [view.getUint16(4, true), view.getUint16(6, true)];
  if (layer === 1)
    return (
      'it is a component (WASI preview 2 and later), and modules of WASI preview 1 are run here: ' +
      `${MODULE}; \`wasm-tools component unbundle\` takes the modules out of a component, but their imports stay`
    );
  if (version !== 1 || layer !== 0)
    return `it has version ${version}, layer ${layer} of the binary format, and version 1 is run here: ${MODULE}`;
  if (isCoreDump(bytes))
    return 'it is a core dump of a WebAssembly program that failed: send the program itself';
  return memoryKind(bytes);
}

function otherText(bytes: Uint8Array): string {
  const start = withoutComments(Buffer.from(bytes.subarray(0, TEXT_BYTES)).toString('latin1'));
  if (/^\(\s*component(?![\w-])/.test(start)) return `it is the text of a component: ${MODULE}`;
  if (FIELD.test(start))
    return 'it is WebAssembly text (.wat): make it binary with wat2wasm or `wasm-tools parse`';
  return 'it is not WebAssembly: it does not begin with the bytes \\0asm';
}

/** From the first character that says something. Block comments may lie in one another. */
function withoutComments(text: string): string {
  let at = text.startsWith(MARK) ? MARK.length : 0;
  for (let depth = 0; at < text.length; ) {
    const two = text.slice(at, at + 2);
    if (two === '(;' || (two === ';)' && depth > 0)) {
      depth += two === '(;' ? 1 : -1;
      at += 2;
    } else if (two === ';;' && depth === 0) {
      const end = text.indexOf('\n', at);
      at = end === -1 ? text.length : end;
    } else if (depth > 0 || /^\s/.test(two)) at++;
    else break;
  }
  return text.slice(at);
}

/** What an engine wrote when a program trapped: memory and stacks, and nothing to run. */
function isCoreDump(bytes: Uint8Array): boolean {
  return sections(bytes).some(({ id, content, end }) => {
    if (id !== CUSTOM_SECTION) return false;
    const { value, next } = readLeb(bytes, content);
    const name = Buffer.from(bytes.subarray(next, Math.min(next + value, end))).toString('latin1');
    return name === 'core' || name === 'corestack';
  });
}

function memoryKind(bytes: Uint8Array): string | undefined {
  const own = sections(bytes).find(({ id }) => id === MEMORY_SECTION);
  if (own === undefined) return undefined;
  const count = readLeb(bytes, own.content);
  if (count.value === 0) return undefined;
  const flags = bytes[count.next] ?? 0;
  if ((flags & BITS_64) !== 0)
    return `its memory has 64 bits (wasm64, memory64), and 32 are run here: ${MODULE}`;
  if ((flags & SHARED) !== 0)
    return `its memory is shared between threads, and a function has one thread: ${MODULE}, not for wasm32-wasip1-threads`;
  return undefined;
}

/** An import that nobody provides. */
export function foreignImport(kind: string, from: string, name: string): string {
  const what = `it imports the ${kind} ${from}.${name}, which nobody provides here`;
  if (kind === 'memory')
    return `${what}: a module has its own memory (link without --import-memory), and no threads`;
  if (from === 'wasi' && name === 'thread-spawn')
    return `${what}: a function has one thread; build without threads`;
  if (from === 'wasi_unstable')
    return `${what}: it is of WASI preview 0; ${MODULE} with tools of 2020 or later`;
  if (from === 'wasi_snapshot_preview1')
    return `${what}: it is not of WASI preview 1, but of another runtime's`;
  if (from.startsWith('wasix_')) return `${what}: it is of WASIX; ${MODULE}`;
  if (/^wasi:|^cm32p2/.test(from)) return `${what}: it was made for a component (WASI preview 2); ${MODULE}`;
  if (from === 'go' || from === 'gojs')
    return `${what}: it was built for browsers; set GOOS=wasip1 GOARCH=wasm`;
  if (from === 'wbg' || from.startsWith('__wbindgen'))
    return `${what}: it was built for browsers (wasm-bindgen); ${MODULE}`;
  if (from === 'env')
    return `${what}: it was built for another host, or a library is missing; ${MODULE}; emscripten: -sSTANDALONE_WASM`;
  return `${what}: import from wasi_snapshot_preview1 only`;
}

/** What the engine says of bytes that begin as a module. */
export function damaged(says: string): string {
  return `it is damaged, or uses what is not known here (${says.replace(/^WebAssembly\.\w+\(\): /, '')})`;
}
