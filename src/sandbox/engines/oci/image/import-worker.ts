/** Imports an image in a thread of its own: unpacking must not hold up the calls that the agent passes on. */

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { asNemoError, NemoError } from '../../../../errors.js';
import { type ImportedImage, importImage } from './import.js';

interface Report {
  imported?: ImportedImage;
  error?: { code: NemoError['code']; message: string; hint: string | undefined };
}

export function importInThread(image: string, store: string): Promise<ImportedImage> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { importImage: image, store } });
  return new Promise((resolve, reject) => {
    worker.once('message', ({ imported, error }: Report) => {
      if (imported !== undefined) return resolve(imported);
      const { code, message, hint } = error!;
      reject(new NemoError(code, message, hint === undefined ? {} : { hint }));
    });
    worker.once('error', reject);
    worker.once('exit', () =>
      reject(new NemoError('INTERNAL', 'the import of an image ended without a result')),
    );
  });
}

if (!isMainThread && typeof (workerData as { importImage?: string } | null)?.importImage === 'string') {
  const { importImage: image, store } = workerData as { importImage: string; store: string };
  const report = await importImage(image, store).then(
    (imported): Report => ({ imported }),
    (thrown: unknown): Report => {
      const { code, message, hint } = asNemoError(thrown);
      return { error: { code, message, hint } };
    },
  );
  parentPort?.postMessage(report);
}
