/** What functions are made of, as a deploy gives it to engines and a spec keeps it. */

import type { ExecMode, FunctionSource, StoredSource } from '../../src/model/function-source.js';
import type { Package } from '../../src/model/package.js';
import type { PrepareFunction } from '../../src/provision/registry.js';

type Content = string | Buffer;

export const MODULE: StoredSource = { kind: 'module' };
export const WASM: StoredSource = { kind: 'wasm' };
export const STDIO: StoredSource = { kind: 'program', exec: 'stdio' };
export const HTTP: StoredSource = { kind: 'program', exec: 'http' };

export function moduleOf(
  content: Content,
  filename = 'f.ts',
  packages: readonly Package[] = [],
): FunctionSource<'module'> {
  return { kind: 'module', content: Buffer.from(content), filename, packages };
}

export function programOf(content: Content, exec: ExecMode = 'stdio'): FunctionSource<'program'> {
  return { kind: 'program', content: Buffer.from(content), filename: 'f', exec };
}

export function wasmOf(content: Content): FunctionSource<'wasm'> {
  return { kind: 'wasm', content: Buffer.from(content), filename: 'f.wasm' };
}

/** A registry's engine that stores everything as it came. */
export const asItCame: PrepareFunction = async (_engine, { source }) =>
  source.kind === 'image' ? Buffer.from(source.image) : source.content;
