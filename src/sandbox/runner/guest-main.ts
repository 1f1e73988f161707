/**
 * The program inside a virtual machine: node as an ordinary user, a virtio-serial port instead of a socket, the
 * function in the frame that loads it. Many machines go on from one snapshot, so nothing random may come from
 * before it: whoever restores gives the kernel new entropy first, and here Math.random gets a seed of its own.
 */

import { randomFillSync } from 'node:crypto';
import { openSync, unlinkSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { serve } from './serve.js';

const PORT = '/dev/port1';
const MODULE = '/function/function.mjs';
/** Node makes no stream of a port's kind of file by itself, but its pipes take any that can be polled. */
function openPort(path: string): Socket {
  const { Pipe } = (
    process as unknown as {
      binding(name: string): { Pipe: new (kind: number) => { open(fd: number): void } };
    }
  ).binding('pipe_wrap');
  const handle = new Pipe(0);
  handle.open(openSync(path, 'r+'));
  return new Socket({ handle, readable: true, writable: true } as object);
}

const WARM_MODULE = '/function/warm.mjs';
let [a, b, c, count] = [0, 0, 0, 1];

/** sfc32: 2^128 states, about as fast as V8's own. */
function next(): number {
  const sum = (a + b + count++) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (((c << 21) | (c >>> 11)) + sum) | 0;
  return sum >>> 0;
}

/** 53 bits, as V8's. */
Math.random = function random(): number {
  return ((next() >>> 5) * 67_108_864 + (next() >>> 6)) / 9_007_199_254_740_992;
};

function reseed(): void {
  const seed = new Int32Array(3);
  randomFillSync(seed);
  [a, b, c] = [seed[0]!, seed[1]!, seed[2]!];
  count = 1;
}

serve(openPort(PORT), {
  async evaluate({ env }, code) {
    reseed();
    for (const name of Object.keys(env)) process.env[name] = env[name];
    writeFileSync(MODULE, code);
    return ((await import(MODULE)) as { default?: unknown }).default;
  },
  async settle() {
    // What loading a module takes of node is in the snapshot then.
    writeFileSync(WARM_MODULE, 'export default () => undefined;');
    await import(WARM_MODULE);
    unlinkSync(WARM_MODULE);
  },
  printError: process.stderr.write.bind(process.stderr),
  exit: process.exit.bind(process),
});
