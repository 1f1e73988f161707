/** Looks at a module on stdin inside a sandbox of its own, at deploy: prints what is wrong with it, or nothing. */

import { Buffer } from 'node:buffer';
import { compile } from './module.js';

const chunks: Buffer[] = [];
process.stdin.on('data', (chunk: Buffer) => chunks.push(chunk));
process.stdin.on('end', () => {
  try {
    compile(Buffer.concat(chunks), Number(process.argv[2]));
  } catch (error) {
    process.stdout.write((error as Error).message);
  }
});
