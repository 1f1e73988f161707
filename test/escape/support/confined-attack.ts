/** What code that took over a confined program would try. Prints one JSON object of what it got. */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { STARTED } from '../../../src/confinement/confined/protocol.js';

const [what = '', port = ''] = process.argv.slice(2);
process.stdout.write(STARTED);

function attempt(work: () => unknown): string {
  try {
    return `got ${String(work()).slice(0, 200)}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message.slice(0, 100);
  }
}

function connects(to: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(to, '127.0.0.1');
    socket.once('connect', () => resolve('got through'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

if (what === 'memory') {
  const kept: Buffer[] = [];
  for (;;) kept.push(Buffer.alloc(16 << 20, 1));
} else if (what === 'time') {
  for (;;);
} else if (what === 'output') {
  const chunk = Buffer.alloc(1 << 20, 'x');
  const more = (): void => {
    while (process.stdout.write(chunk));
    process.stdout.once('drain', more);
  };
  more();
} else {
  const status = readFileSync('/proc/self/status', 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
  const answer = {
    root: readdirSync('/').sort(),
    passwd: attempt(() => readFileSync('/etc/passwd')),
    state: attempt(() => readdirSync('/var/lib/nemo')),
    writeRoot: attempt(() => writeFileSync('/written', 'x')),
    writeProgram: attempt(() => writeFileSync(process.argv[1]!, 'x')),
    processes: readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length,
    descriptors: readdirSync('/proc/self/fd').length,
    child: attempt(() => execFileSync(process.execPath, ['--version'])),
    uid: process.getuid?.(),
    capabilities: field('CapEff'),
    filter: field('Seccomp'),
    privileges: field('NoNewPrivs'),
    cores: field('Cpus_allowed_list'),
    network: await connects(Number(port)),
    environment: Object.keys(process.env).sort(),
  };
  process.stdout.write(JSON.stringify(answer));
}
