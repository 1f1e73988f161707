/** The functions that are called beside an NF: ordinary ones of several kinds, and those of hostile.ts. By name. */

import { fileURLToPath } from 'node:url';
import { bundleFunction } from '../src/bundle/bundle.js';
import { NemoError } from '../src/model/errors.js';
import { HOSTILE } from './hostile.js';
import type { Workload } from './types.js';

/** Uses the milliseconds of CPU that the query asks for, however often it is interrupted. */
export const BUSY_CODE = `export default async (event, context) => {
  const wantedUs = 1000 * Number(new URLSearchParams(context.query).get('ms') ?? 5);
  const usedUs = () => { const { user, system } = process.cpuUsage(from); return user + system; };
  const from = process.cpuUsage();
  let sum = 0;
  do { for (let i = 0; i < 20000; i++) sum = (sum * 31 + i) | 0; } while (usedUs() < wantedUs);
  return { sum };
};`;

export const NOOP_CODE = `export default async () => 'ok';`;

/** Answers its first byte at once and works after it: the time to that byte is the time to start. */
export const TRACE_CODE = `export default (event, context) => {
  const wantedUs = 1000 * Number(new URLSearchParams(context.query).get('ms') ?? 1);
  let first = true;
  return new Response(new ReadableStream({
    async pull(controller) {
      if (first) { first = false; controller.enqueue(new Uint8Array([46])); return; }
      await new Promise((done) => setTimeout(done, 0));
      const from = process.cpuUsage();
      const usedUs = () => { const { user, system } = process.cpuUsage(from); return user + system; };
      let sum = 0;
      do { for (let i = 0; i < 20000; i++) sum = (sum * 31 + i) | 0; } while (usedUs() < wantedUs);
      controller.close();
    },
  }, { highWaterMark: 0 }));
};`;

const MEMORY_CODE = `const pages = new Uint32Array(8 << 20);
let at = 1;
export default async () => {
  let sum = 0;
  for (let i = 0; i < 200000; i++) { at = (Math.imul(at, 1664525) + 1013904223) >>> 0; sum = (sum + (pages[at >>> 9] += i)) | 0; }
  return { sum };
};`;

const IO_CODE = `import { open, rm } from 'node:fs/promises';
const block = Buffer.alloc(64 * 1024, 'nemo');
export default async () => {
  const file = await open('/tmp/' + Math.random().toString(36).slice(2), 'w+');
  const name = '/proc/self/fd/' + file.fd;
  let bytes = 0;
  for (let i = 0; i < 16; i++) bytes += (await file.write(block)).bytesWritten;
  await file.sync();
  const back = Buffer.alloc(block.length);
  for (let i = 0; i < 16; i++) await file.read(back, 0, back.length, i * back.length);
  const path = (await import('node:fs')).readlinkSync(name);
  await file.close();
  await rm(path);
  return { bytes };
};`;

const JSON_CODE = `const rows = Array.from({ length: 400 }, (_, i) => ({ id: i, name: 'customer ' + i, tags: ['a', 'b' + (i % 7)], total: i * 1.25, at: new Date(1.7e12 + i * 6e4).toISOString() }));
const text = JSON.stringify(rows);
export default async () => {
  const byTag = {};
  for (const row of JSON.parse(text)) for (const tag of row.tags) {
    const entry = byTag[tag] ??= { count: 0, total: 0, names: [] };
    entry.count++; entry.total += row.total; entry.names.push(row.name.toUpperCase());
  }
  return byTag;
};`;

const AES_CODE = `import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
const key = randomBytes(32);
const data = randomBytes(256 * 1024);
export default async () => {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const sealed = Buffer.concat([cipher.update(data), cipher.final()]);
  const decipher = createDecipheriv('aes-256-gcm', key, iv);
  decipher.setAuthTag(cipher.getAuthTag());
  return { bytes: decipher.update(sealed).length + decipher.final().length };
};`;

const file = (name: string): { file: string } => ({
  file: fileURLToPath(new URL(`./functions/${name}.js`, import.meta.url)),
});
const ROOMY = { memory: '256Mi' };

const WORKLOADS: Record<string, Workload> = {
  noop: { about: 'answers at once', code: NOOP_CODE, cpuMs: 0.1 },
  cpu1: { about: '1 ms of CPU', code: BUSY_CODE, query: '?ms=1', cpuMs: 1 },
  cpu5: { about: '5 ms of CPU', code: BUSY_CODE, query: '?ms=5', cpuMs: 5 },
  cpu50: { about: '50 ms of CPU', code: BUSY_CODE, query: '?ms=50', cpuMs: 50 },
  memory: { about: '200,000 random accesses to 32 MB', code: MEMORY_CODE, options: ROOMY, cpuMs: 3 },
  io: { about: 'writes, syncs and reads a file of 1 MB', code: IO_CODE, cpuMs: 2 },
  thumbnail: {
    about: 'a PNG of 320 x 200 to a quarter of its size',
    code: file('thumbnail'),
    options: ROOMY,
    cpuMs: 20,
  },
  markdown: { about: 'a page of Markdown to HTML', code: file('markdown'), cpuMs: 3 },
  json: { about: 'parses, groups and writes 50 KB of JSON', code: JSON_CODE, cpuMs: 1 },
  aes: { about: 'encrypts and decrypts 256 KB with AES-256-GCM', code: AES_CODE, cpuMs: 1 },
  ...HOSTILE,
};

export const WORKLOAD_NAMES: readonly string[] = Object.keys(WORKLOADS);

/** Throws BAD_CONFIG naming the choices. */
export function workloadByName(name: string): Workload {
  const found = Object.hasOwn(WORKLOADS, name) ? WORKLOADS[name] : undefined;
  if (found !== undefined) return found;
  throw new NemoError('BAD_CONFIG', `no function of the bench is called "${name}"`, {
    hint: `choose one of: ${WORKLOAD_NAMES.join(', ')}; several are joined by +`,
  });
}

/** What the agent is given. */
export async function codeOf(workload: Workload): Promise<string> {
  return typeof workload.code === 'string' ? workload.code : (await bundleFunction(workload.code.file)).code;
}
