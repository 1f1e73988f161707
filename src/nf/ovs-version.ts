/** What version an Open vSwitch is, as its own control socket says: ovs-appctl(8), JSON-RPC over a stream. */

import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { NOTHING } from '../linux/blocking-socket.js';
import { unixListeners } from '../linux/listening.js';
import { byDescriptor, openProcessDirectory, type ProcessId } from '../linux/process-directory.js';
import { asNemoError } from '../model/errors.js';
import { NF, TELEMETRY } from '../tunables/index.js';
import { connectToNf } from './own-socket.js';

const ANSWER_MAX_BYTES = 4_096;
const PAUSE_MS = 10;

/** [major, minor], or a message why it is not known. Never rejects, and does not block the thread. */
export async function ovsVersion(nf: ProcessId & { uid: number }): Promise<[number, number] | string> {
  const directory = openProcessDirectory(nf);
  if (directory === undefined) return 'it is gone';
  try {
    const path = unixListeners(byDescriptor(directory)).find((one) => one.endsWith('.ctl'));
    if (path === undefined) return 'it has no control socket';
    const answer = await ask(path, nf.uid);
    const [, major, minor] = /\(Open vSwitch\) (\d{1,4})\.(\d{1,4})/.exec(answer) ?? [];
    return major === undefined
      ? 'its control socket does not tell its version'
      : [Number(major), Number(minor)];
  } catch (thrown) {
    return asNemoError(thrown).message;
  } finally {
    closeSync(directory);
  }
}

/** The start of the answer, or as much as came in time. */
async function ask(path: string, uid: number): Promise<string> {
  const socket = connectToNf('stream', path, uid, TELEMETRY.callMaxMs);
  try {
    socket.send(Buffer.from(JSON.stringify({ id: 0, method: 'version', params: [] })));
    const answer = Buffer.alloc(ANSWER_MAX_BYTES);
    let length = 0;
    const end = performance.now() + NF.askTimeoutS * 1_000;
    while (length < answer.length && performance.now() < end) {
      const count = socket.recv(answer.subarray(length), false);
      if (count === 0) break;
      if (count === NOTHING) await delay(PAUSE_MS);
      else length += count;
      if (answer.toString('latin1', 0, length).trimEnd().endsWith('}')) break;
    }
    return answer.toString('latin1', 0, length);
  } finally {
    socket.close();
  }
}
