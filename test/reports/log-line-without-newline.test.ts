/**
 * Reported: netgusto/nodebook#76, spotify/docker-client#871. What is printed without a newline at its end is in no log
 * while its container is there.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { readLog } from '../../src/sandbox/log-lines.js';

describe('report: a log line without a newline', () => {
  it('is told while its writer lives, and once', async () => {
    const writer = spawn('sh', [
      '-c',
      'printf "first\\nno "; printf "newline"; read line; printf "second\\n"',
    ]);
    const lines: string[] = [];
    let onLine = () => {};
    const ends = { onBroken: () => undefined } as unknown as Parameters<typeof readLog>[1];
    readLog(writer.stdout, ends, (_timeMs, text) => {
      lines.push(text);
      onLine();
    });
    while (lines.length < 2) await new Promise<void>((resolve) => (onLine = resolve));
    expect(lines).to.deep.equal(['first', 'no newline']);
    expect(writer.exitCode).to.equal(null);
    writer.stdin.end('\n');
    await once(writer, 'close');
    expect(lines).to.deep.equal(['first', 'no newline', 'second']);
  });
});
