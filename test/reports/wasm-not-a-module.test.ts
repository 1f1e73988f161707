import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { compile } from '../../src/runner/wasm/module.js';
import { ECHO_COMMAND, FOREIGN_IMPORT, leb, NO_EXPORT, NOOP_COMMAND } from '../support/wasm-modules.js';

/** A component was refused in V8's words ("expected version 01 00 00 00, found 0d 00 01 00"), and so were others. */
describe('what is not a module for here is refused by what it is, with what to build instead', () => {
  const importing = (from: string, name: string): Buffer => {
    const bytes = Buffer.from('\0asm\x01\0\0\0', 'latin1');
    const entry = [from.length, ...Buffer.from(from), name.length, ...Buffer.from(name), 0, 0];
    return Buffer.concat([
      bytes,
      section(1, [1, 0x60, 0, 0]),
      section(2, [1, ...entry]),
      section(5, [1, 0, 1]),
    ]);
  };
  const section = (id: number, content: number[]) => Buffer.from([id, ...leb(content.length), ...content]);
  const custom = (name: string, ...rest: number[]) =>
    section(0, [name.length, ...Buffer.from(name), ...rest]);
  const head = (version: number[]) => Buffer.from([0, 0x61, 0x73, 0x6d, ...version]);
  const memory = (...limits: number[]) => Buffer.concat([head([1, 0, 0, 0]), section(5, [1, ...limits])]);
  const imported = Buffer.from([3, ...Buffer.from('env'), 6, ...Buffer.from('memory'), 2, 0, 1]);
  const cases: Array<[what: string, bytes: Buffer, says: RegExp]> = [
    ['a component', head([0x0d, 0, 1, 0]), /it is a component .* wasm32-wasip1/],
    ['a component of an older draft', head([0x0a, 0, 1, 0]), /it is a component/],
    ['another version of the format', head([2, 0, 0, 0]), /has version 2, layer 0/],
    ['a memory of 64 bits', memory(4, 1), /64 bits \(wasm64, memory64\)/],
    ['a memory that threads share', memory(3, 1, 2), /shared between threads/],
    [
      'an imported memory',
      Buffer.concat([head([1, 0, 0, 0]), section(2, [1, ...imported])]),
      /imports the memory env.memory.*--import-memory/,
    ],
    ['threads of WASI', importing('wasi', 'thread-spawn'), /build without threads/],
    ['WASI preview 0', importing('wasi_unstable', 'fd_write'), /preview 0/],
    ['WASIX', importing('wasix_32v1', 'fd_dup'), /WASIX/],
    ['another runtime’s sockets', importing('wasi_snapshot_preview1', 'sock_open'), /not of WASI preview 1/],
    ['a module out of a component', importing('wasi:cli/environment@0.2.0', 'get-environment'), /preview 2/],
    ['Go for browsers', importing('gojs', 'runtime.wasmExit'), /GOOS=wasip1/],
    ['Rust for browsers', importing('__wbindgen_placeholder__', '__wbindgen_throw'), /wasm-bindgen/],
    ['emscripten', FOREIGN_IMPORT, /imports the function env\.open.*STANDALONE_WASM/],
    ['neither a program nor a handler', NO_EXPORT, /neither _start nor handle.*main function/],
    ['text', Buffer.from(';; a comment\n(module)'), /WebAssembly text .*wat2wasm/],
    ['text behind a byte order mark', Buffer.from('\ufeff(module)'), /WebAssembly text/],
    [
      'text behind comments in comments',
      Buffer.from('(; a (; b ;;) ;) ;; c\r\n( module)'),
      /WebAssembly text/,
    ],
    ['text without (module', Buffer.from('(func (export "_start"))'), /WebAssembly text/],
    ['text of a component', Buffer.from('\ufeff(;;) (component $c)'), /text of a component/],
    ['what only looks like text', Buffer.from('(functional)'), /it is not WebAssembly/],
    ['a comment that does not end', Buffer.from('(; (; ;) (module)'), /it is not WebAssembly/],
    [
      'a core dump',
      Buffer.concat([head([1, 0, 0, 0]), custom('core', 0), custom('corestack', 0), section(5, [1, 0, 1])]),
      /core dump .* send the program itself/,
    ],
    ['gzip', gzipSync(NOOP_COMMAND), /compressed with gzip/],
    ['a zip archive', Buffer.from('PK\x03\x04....'), /zip archive/],
    ['a Linux program', Buffer.from('\x7fELF....', 'latin1'), /it is a Linux program/],
    ['JavaScript', Buffer.from('export default () => 1'), /it is not WebAssembly/],
    ['nothing', Buffer.alloc(0), /it is empty/],
    ['a few bytes of a module', head([1]), /ends within its first 8 bytes/],
    ['half a module', ECHO_COMMAND.subarray(0, 60), /it is damaged, or uses what is not known here \(/],
  ];
  for (const [what, bytes, says] of cases)
    it(what, () => {
      expect(() => compile(bytes, 1 << 24)).to.throw(SyntaxError, says);
    });
});
