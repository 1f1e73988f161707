/**
 * Archives of images that clients send in parts. A part is in memory while it is written, an archive never; how many there
 * are, and of one client, how large each gets, and how long one is kept is bounded. An id cannot be guessed: whoever has it may deploy it.
 */

import { randomBytes } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StorageQuota } from '../host/storage-quota.js';
import { NemoError } from '../model/errors.js';
import type { Uploads } from '../model/platform.js';
import { formatBytes } from '../model/quantity.js';
import { storageFault } from '../model/storage-fault.js';
import { OCI, UPLOAD } from '../tunables/index.js';

interface Upload {
  client: string;
  startedMs: number;
  size: number;
  /** The last part is written. */
  written: Promise<unknown>;
  expiry: NodeJS.Timeout;
}

export class ImageUploads implements Uploads {
  private readonly uploads = new Map<string, Upload>();

  private constructor(
    private readonly quota: StorageQuota,
    private readonly keptMs: number,
  ) {}

  /** What an earlier agent left is removed. */
  static async open(quota: StorageQuota, keptMs: number = UPLOAD.keptMs): Promise<ImageUploads> {
    await rm(quota.uploadDir, { recursive: true, force: true });
    return new ImageUploads(quota, keptMs);
  }

  async create(client: string): Promise<{ id: string }> {
    const own = [...this.uploads.values()].filter((upload) => upload.client === client).length;
    if (this.uploads.size >= UPLOAD.openMax || own >= UPLOAD.openPerClientMax)
      throw new NemoError('OVERLOADED', 'too many images are being sent', { hint: 'try again later' });
    const id = randomBytes(16).toString('hex');
    const startedMs = performance.now();
    this.uploads.set(id, {
      ...{ client, startedMs, size: 0, written: Promise.resolve() },
      expiry: this.expire(id, this.keptMs),
    });
    try {
      await mkdir(this.quota.uploadDir, { recursive: true, mode: 0o700 });
      await (await open(this.path(id), 'wx', 0o600)).close();
    } catch (cause) {
      await this.remove(id);
      throw new NemoError('STORE', `an image cannot be taken: ${(cause as Error).message}`, { cause });
    }
    return { id };
  }

  append(id: string, offset: number, part: Buffer): Promise<{ size: number }> {
    const upload = this.uploads.get(id);
    if (upload === undefined) {
      return Promise.reject(
        new NemoError('NOT_FOUND', 'that image is not being sent', { hint: 'begin again' }),
      );
    }
    const written = upload.written.then(() => this.add(id, upload, offset, part));
    upload.written = written.catch(() => undefined);
    return written;
  }

  async remove(id: string): Promise<void> {
    const upload = this.uploads.get(id);
    if (upload === undefined) return;
    clearTimeout(upload.expiry);
    this.uploads.delete(id);
    await upload.written;
    await rm(this.path(id), { force: true });
  }

  async close(): Promise<void> {
    await Promise.all([...this.uploads.keys()].map((id) => this.remove(id)));
  }

  private async add(id: string, upload: Upload, offset: number, part: Buffer): Promise<{ size: number }> {
    if (offset !== upload.size) {
      throw new NemoError(
        'BAD_REQUEST',
        `the part begins at ${offset}, and the image has ${upload.size} bytes`,
        {
          hint: 'send the parts one after the other',
        },
      );
    }
    if (upload.size + part.length > OCI.imageMaxBytes) {
      throw new NemoError('BODY_TOO_LARGE', `the image is larger than ${formatBytes(OCI.imageMaxBytes)}`, {
        hint: 'make it smaller',
      });
    }
    await this.quota.require([part.length], 'a part of an image');
    try {
      const file = await open(this.path(id), 'r+');
      try {
        for (let at = 0; at < part.length; )
          at += (await file.write(part, at, part.length - at, offset + at)).bytesWritten;
      } finally {
        await file.close();
      }
    } catch (cause) {
      throw storageFault('an image cannot be taken', cause, 'check the state directory');
    }
    upload.size += part.length;
    clearTimeout(upload.expiry);
    const keptMs = this.keptMs + (upload.size / UPLOAD.bytesPerS) * 1000;
    // Nobody would end it, had it been removed meanwhile.
    if (this.uploads.has(id)) {
      const leftMs = upload.startedMs + keptMs - performance.now();
      upload.expiry = this.expire(id, Math.min(leftMs, this.keptMs));
    }
    return { size: upload.size };
  }

  private path(id: string): string {
    return join(this.quota.uploadDir, `${id}.tar`);
  }

  private expire(id: string, afterMs: number): NodeJS.Timeout {
    return setTimeout(() => void this.remove(id).catch(() => {}), Math.max(0, afterMs)).unref();
  }
}
