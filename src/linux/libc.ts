/**
 * libc through koffi: the one place where C functions are declared. Everything in `linux/` calls `check`, so that
 * an error carries the call, the errno name and the object. errno is per thread and must be read at once.
 */

import { constants as osConstants } from 'node:os';
import koffi from 'koffi';
import { NemoError } from '../model/errors.js';

const libc = koffi.load('libc.so.6');

export const gettid = libc.func('int gettid()') as () => number;
export const setns = libc.func('int setns(int fd, int nstype)') as (fd: number, type: number) => number;
export const socket = libc.func('int socket(int domain, int type, int protocol)') as (
  domain: number,
  type: number,
  protocol: number,
) => number;
export const bind = libc.func('int bind(int fd, const void *addr, uint32_t len)') as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;
export const setsockopt = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t len)',
) as (fd: number, level: number, name: number, value: Uint8Array, length: number) => number;
export const getsockopt = libc.func(
  'int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *len)',
) as (fd: number, level: number, name: number, value: Uint8Array, length: number[]) => number;
export const send = libc.func('int64_t send(int fd, const void *data, size_t len, int flags)') as (
  fd: number,
  data: Uint8Array | null,
  length: number,
  flags: number,
) => number;
export const connect = libc.func('int connect(int fd, const void *addr, uint32_t len)') as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;
export const recv = libc.func('int64_t recv(int fd, _Out_ void *data, size_t len, int flags)') as (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
) => number;
export const ioctl = libc.func('int ioctl(int fd, uint64_t request, _Inout_ void *argument)') as (
  fd: number,
  request: number,
  argument: Uint8Array,
) => number;
export const listen = libc.func('int listen(int fd, int backlog)') as (fd: number, backlog: number) => number;
/** `fds` is an array of `struct pollfd`: { i32 fd, i16 events, i16 revents }. */
export const poll = libc.func('int poll(void *fds, uint64_t count, int timeout_ms)') as (
  fds: Uint8Array,
  count: number,
  timeoutMs: number,
) => number;
export const pipe2 = libc.func('int pipe2(_Out_ int *fds, int flags)') as (
  fds: Int32Array,
  flags: number,
) => number;
export const close = libc.func('int close(int fd)') as (fd: number) => number;
export const mmap = libc.func(
  'void *mmap(void *addr, size_t len, int prot, int flags, int fd, int64_t offset)',
) as (address: null, length: number, prot: number, flags: number, fd: number, offset: number) => unknown;
export const munmap = libc.func('int munmap(void *addr, size_t len)') as (
  address: unknown,
  length: number,
) => number;
export const ifNameToIndex = libc.func('uint32_t if_nametoindex(const char *name)') as (
  name: string,
) => number;
/** `value` is `struct timespec`: { i64 seconds, i64 nanoseconds }. */
export const clockGettime = libc.func('int clock_gettime(int clock, _Out_ void *value)') as (
  clock: number,
  value: BigInt64Array,
) => number;
export const clockNanosleep = libc.func(
  'int clock_nanosleep(int clock, int flags, const void *request, void *remain)',
) as (clock: number, flags: number, request: BigInt64Array, remain: null) => number;
export const schedSetscheduler = libc.func(
  'int sched_setscheduler(int tid, int policy, const void *param)',
) as (tid: number, policy: number, param: Int32Array) => number;
export const schedGetscheduler = libc.func('int sched_getscheduler(int tid)') as (tid: number) => number;
export const schedGetparam = libc.func('int sched_getparam(int tid, _Out_ void *param)') as (
  tid: number,
  param: Int32Array,
) => number;
export const schedSetaffinity = libc.func('int sched_setaffinity(int tid, size_t len, const void *mask)') as (
  tid: number,
  length: number,
  mask: Uint8Array,
) => number;
export const schedGetaffinity = libc.func('int sched_getaffinity(int tid, size_t len, _Out_ void *mask)') as (
  tid: number,
  length: number,
  mask: Uint8Array,
) => number;
export const getpriority = libc.func('int getpriority(int which, uint32_t who)') as (
  which: number,
  who: number,
) => number;
export const setpriority = libc.func('int setpriority(int which, uint32_t who, int value)') as (
  which: number,
  who: number,
  value: number,
) => number;
export const pread = libc.func('int64_t pread(int fd, _Out_ void *buf, size_t len, int64_t offset)') as (
  fd: number,
  buffer: Uint8Array,
  length: number,
  offset: number,
) => number;
export const pwrite = libc.func('int64_t pwrite(int fd, const void *buf, size_t len, int64_t offset)') as (
  fd: number,
  buffer: Uint8Array,
  length: number,
  offset: number,
) => number;
export const mknod = libc.func('int mknod(const char *path, uint32_t mode, uint64_t device)') as (
  path: string,
  mode: number,
  device: number,
) => number;
export const getxattr = libc.func(
  'int64_t getxattr(const char *path, const char *name, _Out_ uint8_t *value, size_t len)',
) as (path: string, name: string, value: Uint8Array, length: number) => number;
export const setxattr = libc.func(
  'int setxattr(const char *path, const char *name, const void *value, size_t len, int flags)',
) as (path: string, name: string, value: Uint8Array, length: number, flags: number) => number;
export const prctl = libc.func('int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)') as (
  option: number,
  a: number,
  b: number,
  c: number,
  d: number,
) => number;
export const memfdCreate = libc.func('int memfd_create(const char *name, uint32_t flags)') as (
  name: string,
  flags: number,
) => number;
export const fcntl = libc.func('int fcntl(int fd, int command, int argument)') as (
  fd: number,
  command: number,
  argument: number,
) => number;
/** By number: the C library has it only since glibc 2.34. */
export const closeRange = (first: number, last: number, flags: number): number =>
  closeRangeCall(CLOSE_RANGE, first, last, flags);
const CLOSE_RANGE = 436;
const closeRangeCall = libc.func(
  'long syscall(long number, uint32_t first, uint32_t last, uint32_t flags)',
) as (number: number, first: number, last: number, flags: number) => number;
export const flock = libc.func('int flock(int fd, int operation)') as (
  fd: number,
  operation: number,
) => number;
export const posixFadvise = libc.func(
  'int posix_fadvise(int fd, int64_t offset, int64_t len, int advice)',
) as (fd: number, offset: number, length: number, advice: number) => number;
/** Any call that has no function of its own here; the argument list is that of futex(2). */
export const syscall = libc.func(
  'long syscall(long number, void *word, int operation, int value, const void *timeout, long a, long b)',
) as (
  number: number,
  word: ArrayBufferView,
  operation: number,
  value: number,
  timeout: BigInt64Array | null,
  a: number,
  b: number,
) => number;

const kcmp = libc.func('long syscall(long number, int one, int other, int type, long fd, long otherFd)') as (
  ...numbers: number[]
) => number;
const KCMP = process.arch === 'arm64' ? 272 : 312;
const KCMP_FILE = 0;
/** Whether two processes have the same open file. False also where the kernel does not tell. */
export const haveSameFile = (pid: number, fd: number, otherPid: number, otherFd: number): boolean =>
  kcmp(KCMP, pid, otherPid, KCMP_FILE, fd, otherFd) === 0;

/** The errno of the last libc call of this thread. */
export function errno(): number {
  return koffi.errno();
}

const NAMES = new Map<number, string>(
  Object.entries(osConstants.errno).map(([name, value]) => [value, name]),
);

export function errnoName(value: number): string {
  return NAMES.get(value) ?? `errno ${value}`;
}

/** Throws SYSCALL for the current errno. `object` is what was acted on: a file, an interface, a thread. */
export function fail(call: string, object: string): never {
  const value = koffi.errno();
  const name = errnoName(value);
  throw new NemoError('SYSCALL', `${call} failed on ${object}: ${name}`, {
    details: { syscall: call, errno: name, object },
  });
}

/** Returns `result`, or throws if it is negative. */
export function check(result: number, call: string, object: string): number {
  if (result < 0) fail(call, object);
  return result;
}

/** A live view of mapped memory: no copy, valid until munmap. */
export function viewOf(pointer: unknown, length: number): ArrayBuffer {
  return koffi.view(pointer, length) as ArrayBuffer;
}

const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffffffffffffffffn;

/** Maps `length` bytes of `fd` shared; throws SYSCALL with `object` as its name. */
export function mapShared(
  fd: number,
  length: number,
  object: string,
): { buffer: ArrayBuffer; unmap: () => void } {
  const pointer = mmap(null, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  if (koffi.address(pointer) === MAP_FAILED) fail('mmap', object);
  return { buffer: viewOf(pointer, length), unmap: () => void munmap(pointer, length) };
}

/** Maps the start of `fd` for the kernel's eyes only: reading there would end this process if the file was shortened. */
export function mapUnread(fd: number, length: number): { pointer: unknown; unmap: () => void } | undefined {
  const pointer = mmap(null, length, PROT_READ, MAP_SHARED, fd, 0);
  if (koffi.address(pointer) === MAP_FAILED) return undefined;
  return { pointer, unmap: () => void munmap(pointer, length) };
}
