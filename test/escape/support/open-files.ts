/**
 * What processes have open, as the kernel tells it. Two descriptors are the same open file when kcmp(2) says so: that
 * also tells apart what has no name, such as an eventfd.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import koffi from 'koffi';
import { listPids } from '../../../src/linux/process.js';

const libc = koffi.load('libc.so.6');
const kcmp = libc.func('long syscall(long number, int a, int b, int type, long fdA, long fdB)') as (
  ...of: number[]
) => number;
const KCMP = process.arch === 'arm64' ? 272 : 312;
const openCall = libc.func('int open(const char *path, int flags)') as (
  path: string,
  flags: number,
) => number;
const pipeCall = libc.func('int pipe(_Out_ int *ends)') as (ends: Int32Array) => number;
const eventfdCall = libc.func('int eventfd(uint32_t count, int flags)') as (
  count: number,
  flags: number,
) => number;
const dup2 = libc.func('int dup2(int from, int to)') as (from: number, to: number) => number;
const closeCall = libc.func('int close(int fd)') as (fd: number) => number;
const O_RDWR = 2;
/** Beyond what node itself marks when it starts. */
const HIGH = 200;

/** A file, a pipe and an eventfd, open in this process as a careless library leaves them: every program gets them. */
export function openCarelessly(path: string): { fds: number[]; close(): void } {
  const ends = new Int32Array(2);
  pipeCall(ends);
  const low = [openCall(path, O_RDWR), ...ends, eventfdCall(0, 0)];
  const fds = [...low, ...low.map((fd, i) => dup2(fd, HIGH + i))];
  if (fds.some((fd) => fd < 0)) throw new Error('cannot open files to inherit');
  return { fds, close: () => fds.forEach(closeCall) };
}

/** `3 socket`, `4 /path`, in order of the descriptors. */
export function openFiles(pid: number): string[] {
  return descriptors(pid).map((fd) => {
    const target = linkOf(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, '');
    return `${fd} ${target}`;
  });
}

/** Descriptors of `pid` above stderr that are the same open file as one of `other`'s, as `openFiles` names them. */
export function sharedFiles(pid: number, other: number): string[] {
  const theirs = descriptors(other).filter((fd) => fd > 2);
  return openFiles(pid).filter((line) => {
    const fd = Number.parseInt(line, 10);
    return fd > 2 && theirs.some((their) => kcmp(KCMP, pid, other, 0, fd, their) === 0);
  });
}

/** All processes below `pid`. */
export function descendants(pid: number): number[] {
  const parents = new Map(listPids().map((each) => [each, parentOf(each)]));
  const below = (of: number): number[] =>
    [...parents].filter(([, parent]) => parent === of).flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}

/** Its program and, of a shell or node, what that runs. */
export function nameOf(pid: number): string {
  return readText(`/proc/${pid}/comm`).trim();
}

function parentOf(pid: number): number {
  const stat = readText(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

function descriptors(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .map(Number)
      .sort((a, b) => a - b);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return 'closed';
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
