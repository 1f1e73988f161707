/** A real redis-server for tests, on a free port of localhost, its append-only file in a directory of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';

export interface RedisServer {
  url: string;
  process: ChildProcess;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

export async function startRedis(
  directory: string,
  extra: string[] = ['--appendonly', 'yes', '--appendfsync', 'always'],
  port?: number,
): Promise<RedisServer> {
  const chosen = port ?? (await freePort());
  const options = [
    '--port',
    String(chosen),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--dir',
    directory,
    ...extra,
  ];
  const process = spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(process, 'exit');
  await new Promise<void>((resolve, reject) => {
    process.on('error', reject);
    void exited.then(() => reject(new Error('redis-server ended at its start')));
    createInterface({ input: process.stdout! }).on('line', (line) => {
      if (line.includes('Ready to accept connections')) resolve();
    });
  });
  return {
    url: `redis://127.0.0.1:${chosen}`,
    process,
    async stop(signal = 'SIGTERM') {
      if (process.exitCode === null && process.signalCode === null) process.kill(signal);
      await exited;
    },
  };
}
