/**
 * QEMU's control protocol over a socket: one JSON object a line, answers in the order of the commands. QEMU runs what
 * strangers wrote, so it is believed as little as they are: one that says what makes no sense, or nothing for too
 * long, has failed, and every command with it.
 */

import type { Socket } from 'node:net';
import { NemoError } from '../../model/errors.js';
import { readControlLines } from '../../sandbox/control-lines.js';
import { Deferred } from '../../sandbox/ends.js';
import { isObject } from '../../streams/json.js';
import { CONTROL_LINE, MICROVM } from '../../tunables/index.js';

/** What a machine's memory file already holds is left out of its device state. */
const IGNORE_SHARED = { capabilities: [{ capability: 'x-ignore-shared', state: true }] };
const POLL_MS = 5;
const TEXT_MAX = 300;

export class Qmp {
  private readonly waiting: Array<Deferred<unknown>> = [];
  private broken: NemoError | undefined;

  constructor(private readonly socket: Socket) {
    const ends = {
      onViolation: (reason: string) => this.fail(qemuError(reason)),
      onFault: (error: NemoError) => this.fail(error),
    };
    readControlLines(socket, CONTROL_LINE.qemuMaxBytes, ends, (told) => this.take(told));
    socket.once('close', () => this.fail(qemuError('it closed its control socket')));
    // Until the first command nothing else is answered.
    void this.run('qmp_capabilities').catch(() => {});
    void this.run('migrate-set-capabilities', IGNORE_SHARED).catch(() => {});
  }

  run(execute: string, args?: object): Promise<unknown> {
    if (this.broken !== undefined) return Promise.reject(this.broken);
    const answer = new Deferred<unknown>();
    this.waiting.push(answer);
    this.socket.write(`${JSON.stringify({ execute, ...(args && { arguments: args }) })}\n`);
    return answer.within(MICROVM.qmpAnswerMs, () => qemuError(`it did not answer ${execute}`));
  }

  /** Writes the device state to `uri`; the machine stands still then. */
  async save(uri: string): Promise<void> {
    await this.run('migrate', { uri });
    const untilMs = performance.now() + MICROVM.saveTimeoutMs;
    while (performance.now() < untilMs) {
      const { status, 'error-desc': error } = asObject(await this.run('query-migrate'));
      if (status === 'completed') return;
      if (status === 'failed' || status === 'cancelled')
        throw qemuError(typeof error === 'string' ? error.slice(0, TEXT_MAX) : status);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw qemuError(`its devices were not saved within ${MICROVM.saveTimeoutMs} ms`);
  }

  /** False if it makes no sense: an answer that nobody waits for, or neither answer, event nor greeting. */
  private take(told: Record<string, unknown>): boolean {
    if ('return' in told) {
      const command = this.waiting.shift();
      command?.resolve(told.return);
      return command !== undefined;
    }
    if ('error' in told) {
      const command = this.waiting.shift();
      const { desc } = asObject(told.error);
      command?.reject(qemuError(typeof desc === 'string' ? desc.slice(0, TEXT_MAX) : 'it failed'));
      return command !== undefined;
    }
    return typeof told.event === 'string' || 'QMP' in told;
  }

  private fail(error: NemoError): void {
    this.broken ??= error;
    for (const command of this.waiting.splice(0)) command.reject(error);
  }
}

function qemuError(why: string): NemoError {
  return new NemoError('SANDBOX_START', `QEMU: ${why}`);
}

function asObject(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}
