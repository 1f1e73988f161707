/**
 * The program inside a virtual machine: node as an ordinary user, a virtio-serial port instead of a socket, the
 * function in the frame that loads it. Many machines go on from one snapshot, before or after that frame: whoever
 * restores gives the kernel new entropy first, and here everything random is drawn anew.
 */

import { openSync, unlinkSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { keepNoRandomness, reseed } from './guest-random.js';
import { socketLink } from './link.js';
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
let loaded = false;

keepNoRandomness();
serve(socketLink(openPort(PORT)), {
  async evaluate({ env }, code) {
    reseed();
    for (const name of Object.keys(env)) process.env[name] = env[name];
    writeFileSync(MODULE, code);
    loaded = true;
    return ((await import(MODULE)) as { default?: unknown }).default;
  },
  async settle() {
    // The clock stands in the future now: whatever it is set to later, OpenSSL takes its seed for too old.
    if (loaded) return reseed();
    // What loading a module takes of node is in the snapshot then.
    writeFileSync(WARM_MODULE, 'export default () => undefined;');
    await import(WARM_MODULE);
    unlinkSync(WARM_MODULE);
  },
  wake: reseed,
  printError: process.stderr.write.bind(process.stderr),
  exit: process.exit.bind(process),
});
