/**
 * How many files the processes of a sandbox watch by epoll, from /proc/<pid>/fdinfo (proc_pid_fdinfo(5)). An instance that
 * a process has from the one that forked it counts once.
 */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { haveSameFile } from './libc.js';

const EPOLL = 'anon_inode:[eventpoll]';

/** No more than somewhat beyond `enough` are counted. */
export async function countWatches(pids: Iterable<number>, enough: number): Promise<number> {
  /** By descriptor and what it watches: the first process that has it. */
  const known = new Map<string, number>();
  let watches = 0;
  for (const pid of pids) {
    // It may end meanwhile.
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of fds) {
      const text = await epollText(pid, fd).catch(() => '');
      if (text === '') continue;
      const key = `${fd} ${text}`;
      const first = known.get(key);
      if (first === undefined) known.set(key, pid);
      else if (haveSameFile(first, Number(fd), pid, Number(fd))) continue;
      watches += text.match(/^tfd:/gm)?.length ?? 0;
      if (watches > enough) return watches;
    }
  }
  return watches;
}

async function epollText(pid: number, fd: string): Promise<string> {
  if ((await readlink(`/proc/${pid}/fd/${fd}`)) !== EPOLL) return '';
  return readFile(`/proc/${pid}/fdinfo/${fd}`, 'latin1');
}
