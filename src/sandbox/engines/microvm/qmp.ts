/** QEMU's control protocol over a socket: one JSON object a line, answers in the order of the commands. */

import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { NemoError } from '../../../errors.js';
import { Deferred } from '../ends.js';

/** What a machine's memory file already holds is left out of its device state. */
const IGNORE_SHARED = { capabilities: [{ capability: 'x-ignore-shared', state: true }] };
const POLL_MS = 5;

export class Qmp {
  private readonly waiting: Array<Deferred<unknown>> = [];

  constructor(private readonly socket: Socket) {
    createInterface({ input: socket })
      .on('line', (line) => this.take(line))
      .on('error', () => {});
    socket.once('close', () => {
      for (const one of this.waiting.splice(0)) one.reject(failed('it closed its control socket'));
    });
    // Until the first command nothing else is answered.
    void this.run('qmp_capabilities').catch(() => {});
    void this.run('migrate-set-capabilities', IGNORE_SHARED).catch(() => {});
  }

  run(execute: string, args?: object): Promise<unknown> {
    const answer = new Deferred<unknown>();
    this.waiting.push(answer);
    this.socket.write(`${JSON.stringify({ execute, ...(args && { arguments: args }) })}\n`);
    return answer.promise;
  }

  /** Writes the device state to `uri`; the machine stands still then. */
  async save(uri: string): Promise<void> {
    await this.run('migrate', { uri });
    for (;;) {
      const { status = '', 'error-desc': error = '' } = (await this.run('query-migrate')) as {
        status?: string;
        'error-desc'?: string;
      };
      if (status === 'completed') return;
      if (status === 'failed' || status === 'cancelled') throw failed(error || status);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  private take(line: string): void {
    const message = JSON.parse(line) as { return?: unknown; error?: { desc: string } };
    if ('return' in message) this.waiting.shift()?.resolve(message.return);
    else if (message.error !== undefined) this.waiting.shift()?.reject(failed(message.error.desc));
  }
}

function failed(why: string): NemoError {
  return new NemoError('SANDBOX_START', `QEMU: ${why}`);
}
