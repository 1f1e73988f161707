/** Sends an image of this machine to the agent, part by part; a folder as a tar of it. */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { create } from 'tar';
import type { AgentClient } from './client.js';

interface Begun {
  id: string;
  /** What a deploy names it by. */
  image: string;
  partMaxBytes: number;
}

/** More than any agent takes at once: it is held in memory here. */
const PART_MAX_BYTES = 64 * 1024 * 1024;

/** `sent`: what to forget after the deploy. A path that is not here is a registry's name. */
export async function sendImage(
  client: AgentClient,
  path: string,
): Promise<{ image: string; sent?: string }> {
  const [, file = path, tag = ''] = /^(.*?)(#[^#/]+)?$/s.exec(path) ?? [];
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return { image: path };
  const { id, image, partMaxBytes } = await client.json<Begun>({ method: 'POST', path: '/v1/images' });
  if (!Number.isInteger(partMaxBytes) || partMaxBytes < 1 || partMaxBytes > PART_MAX_BYTES)
    throw client.unreachable(new Error('what answers there takes no parts of an image'));
  try {
    let offset = 0;
    const chunks: AsyncIterable<Buffer> = found.isDirectory()
      ? create({ cwd: file, portable: true }, ['.'])
      : createReadStream(file, { highWaterMark: partMaxBytes });
    for await (const part of partsOf(chunks, partMaxBytes)) {
      await client.json({
        ...{ method: 'PATCH', path: `${imagePath(id)}?offset=${offset}`, body: part },
        headers: { 'content-type': 'application/octet-stream' },
      });
      offset += part.length;
    }
  } catch (thrown) {
    await forgetImage(client, id);
    throw thrown;
  }
  return { image: `${image}${tag}`, sent: id };
}

/** The agent would forget it by itself, later. */
export async function forgetImage(client: AgentClient, id: string): Promise<void> {
  await client.json({ method: 'DELETE', path: imagePath(id) }).catch(() => undefined);
}

function imagePath(id: string): string {
  return `/v1/images/${id}`;
}

async function* partsOf(chunks: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (let chunk of chunks) {
    while (size + chunk.length >= bytes) {
      yield Buffer.concat([...parts, chunk.subarray(0, bytes - size)]);
      chunk = chunk.subarray(bytes - size);
      [parts, size] = [[], 0];
    }
    parts.push(chunk);
    size += chunk.length;
  }
  if (size > 0) yield Buffer.concat(parts);
}
