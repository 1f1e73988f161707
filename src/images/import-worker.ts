/** Imports an image in a thread of its own: hashing and copying must not hold up the calls that the agent passes on. */

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { asNemoError, NemoError } from '../model/errors.js';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';
import { type ImportedImage, type ImportTask, importImage } from './import.js';

interface Report {
  imported?: ImportedImage;
  error?: { code: NemoError['code']; message: string; hint: string | undefined };
}

/** Whoever leased the task's place ends what runs there afterwards, also after a time-out. */
export async function importInThread(
  task: ImportTask,
  timeoutMs: number = OCI.importTimeoutMs,
): Promise<ImportedImage> {
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { importTask: task },
    resourceLimits: { maxOldGenerationSizeMb: OCI.importHeapMb },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve, reject) => {
      worker.once('message', ({ imported, error }: Report) => {
        if (imported !== undefined) return resolve(imported);
        const { code, message, hint } = error!;
        reject(new NemoError(code, message, hint === undefined ? {} : { hint }));
      });
      worker.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          error.code === 'ERR_WORKER_OUT_OF_MEMORY'
            ? badImage('reading the image takes too much memory')
            : error,
        ),
      );
      worker.once('exit', () =>
        reject(new NemoError('INTERNAL', 'the import of an image ended without a result')),
      );
      const late = (): void =>
        reject(badImage(`importing the image took longer than ${timeoutMs / 1_000} s`));
      timer = setTimeout(late, timeoutMs);
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

const { importTask } = (workerData ?? {}) as { importTask?: ImportTask };
if (!isMainThread && importTask !== undefined) {
  const report = await importImage(importTask).then(
    (imported): Report => ({ imported }),
    (thrown: unknown): Report => {
      const { code, message, hint } = asNemoError(thrown);
      return { error: { code, message, hint } };
    },
  );
  parentPort?.postMessage(report);
}
