/** What a deployed function is. Plain data: stored, sent between parts, shown. */

import type { FunctionRef } from './function-ref.js';
import type { StoredSource } from './function-source.js';
import type { PackageRef } from './package.js';

/** A deployed function. */
export interface FunctionSpec {
  ref: FunctionRef;
  /** The isolation engine that runs it (`nemo engines`). */
  engine: string;
  /** Functions of one group may share a process, in engines that do that. Without it, it shares with none. */
  sharingGroup?: string;
  source: StoredSource;
  /** sha256 of what the engine made of the code, hex; with the ending of its source it names the file in the bundle directory. */
  codeHash: string;
  codeBytes: number;
  /** Packages that are kept apart from its code, in the order of their hashes; none without it. */
  packages?: PackageRef[];
  memoryBytes: number;
  timeoutMs: number;
  /** Calls that one sandbox may serve at the same time. */
  concurrency: number;
  /** Environment of the function. Values are never shown by the API: only the names. */
  env: Record<string, string>;
  /** What it may connect to: `host:port`, `address:port`, `network/bits:port`. Nothing without it. */
  egress?: string[];
  /** Cron expression that calls the function with an empty body, or none. */
  schedule?: string;
  createdAt: string;
  updatedAt: string;
}

/** One line that a function printed. */
export interface LogLine {
  timeMs: number;
  /** `FunctionRef.key`. */
  functionName: string;
  sandboxId: string;
  stream: 'stdout' | 'stderr';
  text: string;
}
