/**
 * What a function is made of, by kind. Which kind a deploy is, is found once (`provision/deploy-source.ts`) and kept in the
 * function's spec; everything else switches on it. A new kind is a line in `SourceKinds`: what has to know it does not
 * compile until it does.
 */

import type { Package } from './package.js';

/** How a program takes calls: it is run once a call (body on stdin, answer on stdout), or is a server on $PORT. */
export type ExecMode = 'stdio' | 'http';

/** What comes with a deploy. `filename` is shown in errors. */
interface SourceKinds {
  /** JavaScript or TypeScript, and the packages that it imports from beside it. */
  module: { kind: 'module'; content: Buffer; filename: string; packages: readonly Package[] };
  /** An executable of this machine, or a script that names its interpreter. */
  program: { kind: 'program'; content: Buffer; filename: string; exec: ExecMode };
  wasm: { kind: 'wasm'; content: Buffer; filename: string };
  image: { kind: 'image' } & ImageRequest;
}

export interface ImageRequest {
  /** As written: a path of the agent's host, `upload:<id>`, or a registry's name. */
  image: string;
  /** Path in the image of an ES module that the image's own node runs. Without it: an HTTP server. */
  handler?: string;
  /** TCP port of the HTTP server. Default: the only one that the image exposes, else 8080. */
  port?: number;
}

export type SourceKind = keyof SourceKinds;
export type FunctionSource<K extends SourceKind = SourceKind> = SourceKinds[K];

/** What a spec keeps of it; what an engine made of its content lies in a file with `endingOf`. */
export type StoredSource = { kind: 'module' | 'wasm' | 'image' } | { kind: 'program'; exec: ExecMode };

export function toStored(source: FunctionSource): StoredSource {
  return source.kind === 'program' ? { kind: source.kind, exec: source.exec } : { kind: source.kind };
}

/** Ending of the stored file, without a dot. */
export function endingOf(source: StoredSource): string {
  switch (source.kind) {
    case 'module':
      return 'mjs';
    case 'program':
      return source.exec === 'http' ? 'srv' : 'bin';
    case 'wasm':
      return 'wasm';
    case 'image':
      return 'image';
    default:
      return source satisfies never;
  }
}
