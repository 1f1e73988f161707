/**
 * Runs the worker of a measurement (tap, probe, telemetry): its findings and its end stand in shared memory. Call it in
 * the main thread: a real-time thread would hand its priority down.
 */

import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, NemoError } from '../model/errors.js';
import type { WorkerMemory } from './worker-memory.js';

export interface Measurement<Name extends string> {
  /** For readers in other threads. */
  readonly shared: SharedArrayBuffer;
  /** Why there are no figures now, as a message. */
  readonly fault: string | undefined;
  statistics(): Record<Name, number>;
  /** Resolves when the worker is gone and its sockets are closed. */
  close(): Promise<void>;
}

/**
 * Resolves when the worker has said that it is ready; rejects with the error that it told instead. The worker has `descriptors`
 * until its end, then they are closed.
 */
export async function startWorker<Name extends string>(
  script: URL,
  workerData: object,
  memory: WorkerMemory<Name>,
  descriptors: readonly number[] = [],
): Promise<Measurement<Name>> {
  const worker = new Worker(script, {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  });
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.on('error', (cause) => memory.fail(cause.message));
  worker.once('exit', () => {
    for (const fd of descriptors) closeSync(fd);
    if (memory.fault === undefined) memory.fail('the measurement was stopped');
  });
  await new Promise<void>((resolve, reject) => {
    worker.once('message', (message: 'ready' | ReturnType<NemoError['toJSON']>) => {
      if (message === 'ready') resolve();
      else reject(toError(message.error));
    });
    worker.once('error', (cause) =>
      reject(new NemoError('INTERNAL', 'the measurement could not start', { cause })),
    );
  });
  worker.unref();
  return {
    shared: memory.shared,
    get fault() {
      return memory.fault;
    },
    statistics: () => memory.figures(),
    close: () => {
      worker.ref();
      memory.stop();
      return exited;
    },
  };
}

function toError(error: { code: ErrorCode; message: string; hint?: string }): NemoError {
  return new NemoError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint });
}
