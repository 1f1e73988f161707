/**
 * Entries of a Redis stream, and the call that one makes. Values are bytes in Redis, and so they come to the function:
 * only what is text is called text.
 */

import { isUtf8 } from 'node:buffer';
import { NemoError } from '../model/errors.js';
import { QUEUE } from '../tunables/index.js';

export interface Entry {
  id: string;
  /** In turn names and values; undefined for an entry that was deleted while it was pending. */
  fields: Buffer[] | undefined;
}

/** Of any command that answers with entries. Redis before 7 has nothing at all in place of a deleted one. */
export function entriesOf(reply: unknown): Entry[] {
  return ((reply ?? []) as Array<[Buffer, Buffer[] | null] | null>)
    .filter((entry) => entry !== null)
    .map(([id, fields]) => ({ id: id.toString(), fields: fields ?? undefined }));
}

/**
 * The field `body` as it is, with its `content-type`; otherwise all fields as JSON, those in base64 that are not text. Throws
 * BODY_TOO_LARGE for more than the agent's thread has time to write as JSON.
 */
export function callOf(fields: readonly Buffer[]): { body: Buffer; headers: Record<string, string> } {
  const named = new Map<string, Buffer>();
  for (let i = 0; i + 1 < fields.length; i += 2) named.set(fields[i]!.toString(), fields[i + 1]!);
  const body = named.get('body');
  const said = named.get('content-type')?.toString();
  if (body !== undefined) {
    const type = said ?? (isUtf8(body) ? 'text/plain' : 'application/octet-stream');
    return { body, headers: { 'content-type': type } };
  }
  const bytes = bytesOf(fields);
  if (bytes > QUEUE.asJsonMaxBytes) {
    throw new NemoError(
      'BODY_TOO_LARGE',
      `an entry of ${bytes} bytes without a field 'body' is not made JSON`,
      {
        hint: `put it into the field 'body', which may have ${QUEUE.entryMaxBytes} bytes with its name`,
      },
    );
  }
  const inBase64 = [...named].filter(([, value]) => !isUtf8(value)).map(([name]) => name);
  const texts = [...named].map(([name, value]) => [name, value.toString(isUtf8(value) ? 'utf8' : 'base64')]);
  return {
    body: Buffer.from(JSON.stringify(Object.fromEntries(texts))),
    headers: {
      'content-type': said ?? 'application/json',
      ...(inBase64.length === 0 ? {} : { 'x-nemo-base64': JSON.stringify(inBase64) }),
    },
  };
}

/** What they take, as the script counts it that takes entries. */
export function roomOf(fields: readonly Buffer[]): number {
  return bytesOf(fields) + QUEUE.fieldBytes * fields.length;
}

function bytesOf(fields: readonly Buffer[]): number {
  return fields.reduce((sum, { length }) => sum + length, 0);
}
