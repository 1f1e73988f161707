/**
 * A victim: sets its title to argv[2], starts argv[3] threads named packet-N and says their ids as JSON. With `master` as
 * argv[4] it starts a child like itself instead, which speaks for it; with `orphan`, one whose parent never reaps it. Ends when its standard input does.
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { gettid, prctl } from '../../../src/linux/libc.js';

const PR_SET_NAME = 15;

if (process.argv[4] === 'orphan') {
  // The shell becomes `cat`, which never asks how its child ended, and ends itself with the input.
  const command = ['exec 3<&0; "$@" <&3 & exec cat <&3 >&2', 'sh', ...process.argv.slice(0, 4)];
  spawn('sh', ['-c', ...command], { stdio: 'inherit' }).once('exit', () => process.exit(0));
} else if (process.argv[4] === 'master') {
  process.title = process.argv[2]!;
  spawn(process.execPath, process.argv.slice(1, 4), { stdio: 'inherit' }).once('exit', () => process.exit(0));
} else if (isMainThread) {
  process.title = process.argv[2]!;
  const workers = Number(process.argv[3] ?? 0);
  const tids: number[] = [];
  for (let i = 0; i < workers; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: i });
    tids.push(await new Promise<number>((resolve) => worker.once('message', resolve)));
  }
  process.stdout.write(`${JSON.stringify({ pid: process.pid, tids })}\n`);
  process.stdin.on('data', (line) => {
    if (String(line).startsWith('title ')) process.title = String(line).slice(6).trim();
  });
  process.stdin.on('end', () => process.exit(0));
} else {
  const name = koffi.alloc('char', 16);
  koffi.encode(name, 'char', `packet-${workerData}`, 15);
  prctl(PR_SET_NAME, Number(koffi.address(name)), 0, 0, 0);
  if (readFileSync(`/proc/self/task/${gettid()}/comm`, 'utf8').trim() !== `packet-${workerData}`)
    throw new Error('unnamed');
  parentPort!.postMessage(gettid());
  setInterval(() => undefined, 1 << 30);
}
