import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import { spawnPiped } from '../../src/linux/spawn-piped.js';
import { until } from '../support/waiting.js';

/** What a shell says on 3 until it ends, and the codes of the errors; `say` is written to its 4 first. */
async function speak(script: string, say = ''): Promise<{ said: string; errors: string[] }> {
  const child = spawnPiped('/bin/sh', ['-c', script], {});
  const link = child.stdio[3] as Socket;
  const errors: string[] = [];
  for (const output of [child.stdout!, child.stderr!]) output.resume();
  let said = '';
  link.on('data', (bytes) => {
    said += bytes;
  });
  link.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code ?? ''));
  if (say !== '') link.write(say);
  await new Promise((resolve) => link.once('close', resolve));
  return { said, errors };
}

describe('two pipes to a program', () => {
  it('carry bytes both ways, and are no sockets', async () => {
    const script = 'read -r line <&4; echo "got $line" >&3; readlink /proc/self/fd/3 /proc/self/fd/4 >&3';
    const { said, errors } = await speak(script, 'hello\n');
    expect(said).to.match(/^got hello\npipe:\[\d+\]\npipe:\[\d+\]\n$/);
    expect(errors).to.deep.equal([]);
  });

  it('tell that the program left something unread', async () => {
    expect(await speak('read -r line <&4; echo "$line" >&3; exit', 'one\n')).to.deep.equal({
      said: 'one\n',
      errors: [],
    });
    expect(await speak('dd bs=1 count=1 <&4 >&3 2>/dev/null', 'unread')).to.deep.equal({
      said: 'u',
      errors: ['ECONNRESET'],
    });
  });

  it('give what was said before the program ceased to listen', async () => {
    const child = spawnPiped('/bin/sh', ['-c', 'exec 4<&-; echo closed; read -r go; echo last >&3'], {
      stdin: 'pipe',
    });
    const link = child.stdio[3] as Socket;
    let said = '';
    link.on('data', (bytes) => {
      said += bytes;
    });
    await once(child.stdout!, 'data');
    link.write('to nobody');
    const [error] = await once(link, 'error');
    expect(error).to.have.property('code', 'EPIPE');
    child.stdin!.end('\n');
    await once(link, 'close');
    expect(said).to.equal('last\n');
  });

  it('leave nothing open', async () => {
    const open = () =>
      Array.from({ length: 200 }, (_, fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`);
        } catch {
          return '';
        }
      }).filter((target) => target.startsWith('pipe:')).length;
    const before = open();
    await speak(':');
    expect(() => spawnPiped('/bin/sh', [], { cwd: 7 as unknown as string })).to.throw();
    await until(() => open() <= before);
  });
});
