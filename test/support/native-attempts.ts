/**
 * A C program that tries what node offers no way to, and prints a line each: the name, and `worked`, the error, or
 * `killed`. The last line is how often it could fork.
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';

/** Compiles it in `folder`; undefined without a compiler. */
export function buildNativeAttempts(folder: string): string | undefined {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  const [source, program] = [join(folder, 'try.c'), join(folder, 'try')];
  writeFileSync(source, NATIVE_ATTEMPTS);
  execFileSync('cc', ['-static', '-pthread', '-o', program, source]);
  return program;
}

/** Name of each attempt -> what came of it. */
export function outcomesOf(printed: string): Map<string, string> {
  const lines = printed.trim().split('\n');
  return new Map(lines.map((line) => line.split(' ') as [string, string]));
}

/** Every attempt that `answers` does not name was refused with EPERM. */
export function expectRefused(
  outcomes: ReadonlyMap<string, string>,
  answers: Readonly<Record<string, string>>,
): void {
  expect(outcomes.size).to.be.greaterThan(60);
  const unexpected = [...outcomes].filter(
    ([name, outcome]) => name !== 'forks' && outcome !== (answers[name] ?? 'EPERM'),
  );
  expect(unexpected).to.deep.equal([]);
}

const LACKING = {
  clone3: 'ENOSYS',
  timer_create: 'ENOSYS',
  filter_by_prctl: 'EINVAL',
  io_setup: 'ENOSYS',
  membarrier_global: 'ENOSYS',
  membarrier_register: 'ENOSYS',
  membarrier_expedited: 'ENOSYS',
  linger: 'EINVAL',
  splice: 'ENOSYS',
  tee: 'ENOSYS',
};

/** What it must be told that is not EPERM: calls that a kernel may lack, and what ordinary programs do. */
export const NATIVE_ANSWERS: Readonly<Record<string, string>> = {
  ...LACKING,
  filter: 'ENOSYS',
  semaphores: 'worked',
  packet_socket: 'EAFNOSUPPORT',
  vsock: 'EAFNOSUPPORT',
  tipc: 'EAFNOSUPPORT',
  alg: 'EAFNOSUPPORT',
  can: 'EAFNOSUPPORT',
  socketpair_tipc: 'EAFNOSUPPORT',
  mptcp: 'EPROTONOSUPPORT',
  udp: 'EACCES',
  udp6: 'EACCES',
  open_file_lock: 'EINVAL',
  i386_table: 'killed',
  x32_table: 'killed',
  inotify: 'ENOSYS',
  core_of_one: 'worked',
  few_signals: 'worked',
  mkfifo: 'worked',
  mknod_file: 'worked',
  process_lock: 'worked',
  socketpair_unix: 'worked',
  send_files: 'EBADF',
  tcp: 'worked',
  shm_file: 'worked',
  shm_map: 'worked',
  semaphore: 'worked',
  futex_thread: 'worked',
  itimer: 'worked',
};

/** The same, of a container: musl's getaddrinfo needs a UDP socket. */
export const CONTAINER_ANSWERS: Readonly<Record<string, string>> = {
  ...NATIVE_ANSWERS,
  udp: 'worked',
  udp6: 'worked',
};

/** Where /dev/shm is not mounted. */
const NO_SHARED_MEMORY = { shm_file: 'EROFS', shm_map: 'EBADF', semaphore: 'EROFS' };

/** The same, of a machine emulator: requests to devices are its work, and end at the device. */
export const MACHINE_ANSWERS: Readonly<Record<string, string>> = {
  ...NATIVE_ANSWERS,
  ...NO_SHARED_MEMORY,
  // QEMU's own filter.
  filter: 'EFAULT',
  filter_by_prctl: 'EFAULT',
  line_discipline: 'ENOTTY',
  drop_file_pages: 'worked',
};

/** The same, of a process that makes threads only. */
export const THREAD_ANSWERS: Readonly<Record<string, string>> = {
  ...NO_SHARED_MEMORY,
  ...LACKING,
  core_of_one: 'worked',
  few_signals: 'worked',
  futex_thread: 'worked',
};

const NATIVE_ATTEMPTS = `
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static void say(const char *name, long result) {
  printf("%s %s\\n", name, result < 0 ? strerrorname_np(errno) : "worked");
}
#define TRY(name, call) errno = 0, say(name, call)
static void *nothing(void *arg) { return arg; }
#ifdef __x86_64__
static void in_child(const char *name, void (*attempt)(void)) {
  int status;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) { attempt(); _exit(0); }
  if (child < 0) { say(name, -1); return; }
  waitpid(child, &status, 0);
  printf("%s %s\\n", name, WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? "killed" : "worked");
}
static void i386(void) { long result; __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L)); }
static void x32(void) { syscall(0x40000000 | 39); }
#endif
int main(void) {
  struct sched_param zero = {0}, one = {1};
  struct timespec now = {1000000000, 0};
  char bytes[256] = {0};
  TRY("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, ""));
  TRY("unshare", syscall(SYS_unshare, CLONE_NEWUSER));
  TRY("clone_newuser", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
  TRY("clone3", syscall(SYS_clone3, bytes, 88));
  TRY("setns", syscall(SYS_setns, 0, 0));
  TRY("ptrace", syscall(SYS_ptrace, 16, getppid(), 0, 0));
  TRY("ptrace_init", syscall(SYS_ptrace, 16, 1, 0, 0));
  TRY("process_vm_readv", syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0));
  TRY("process_vm_writev", syscall(SYS_process_vm_writev, 1, 0, 0, 0, 0, 0));
  TRY("pidfd_getfd", syscall(SYS_pidfd_getfd, 0, 0, 0));
  TRY("bpf", syscall(SYS_bpf, 0, bytes, 64));
  TRY("perf_event_open", syscall(SYS_perf_event_open, bytes, 0, -1, -1, 0));
  TRY("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  TRY("userfaultfd", syscall(SYS_userfaultfd, 1));
  TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, bytes, 0));
  TRY("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
  TRY("chroot", syscall(SYS_chroot, "/tmp"));
  TRY("mknod", syscall(SYS_mknod, "/tmp/sda", 0060600, 0x800));
  TRY("io_uring_setup", syscall(SYS_io_uring_setup, 1, bytes));
  TRY("personality", syscall(SYS_personality, 0x0040000));
  TRY("raw_socket", syscall(SYS_socket, AF_INET, SOCK_RAW, 1));
  TRY("packet_socket", syscall(SYS_socket, AF_PACKET, SOCK_DGRAM, 0));
  TRY("vsock", syscall(SYS_socket, 40, SOCK_STREAM, 0));
  TRY("sched_other", syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &zero));
  TRY("sched_fifo", syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &one));
  TRY("setpriority", setpriority(PRIO_PROCESS, 0, -5));
  TRY("settime", syscall(SYS_clock_settime, CLOCK_REALTIME, &now));
  int pair[2], ends[2], one_int = 1;
  void *context = 0;
  struct iovec part = {bytes, sizeof bytes};
  struct sigevent ignored = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  timer_t timer;
  pipe(ends);
  signal(SIGUSR1, SIG_IGN);
  TRY("tipc", syscall(SYS_socket, 30, SOCK_STREAM, 0));
  TRY("alg", syscall(SYS_socket, 38, SOCK_SEQPACKET, 0));
  TRY("can", syscall(SYS_socket, 29, SOCK_RAW, 1));
  TRY("sctp", syscall(SYS_socket, AF_INET, SOCK_STREAM, 132));
  TRY("udplite", syscall(SYS_socket, AF_INET6, SOCK_DGRAM, 136));
  TRY("dccp", syscall(SYS_socket, AF_INET, 6, 33));
  TRY("udp", syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 17));
  TRY("udp6", syscall(SYS_socket, AF_INET6, SOCK_DGRAM, 0));
  TRY("icmp", syscall(SYS_socket, AF_INET, SOCK_DGRAM, 1));
  TRY("mptcp", syscall(SYS_socket, AF_INET, SOCK_STREAM, 262));
  TRY("audit", syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 9));
  TRY("socketpair_tipc", syscall(SYS_socketpair, 30, SOCK_SEQPACKET, 0, pair));
  TRY("socketpair_inet", syscall(SYS_socketpair, AF_INET, SOCK_STREAM, 0, pair));
  TRY("timer_create", syscall(SYS_timer_create, CLOCK_MONOTONIC, &ignored, &timer));
  TRY("sync", syscall(SYS_sync));
  TRY("syncfs", syscall(SYS_syncfs, 1));
  TRY("membarrier_global", syscall(SYS_membarrier, 1, 0, 0));
  TRY("membarrier_register", syscall(SYS_membarrier, 4, 0, 0));
  TRY("membarrier_expedited", syscall(SYS_membarrier, 2, 0, 0));
  TRY("io_setup", syscall(SYS_io_setup, 1, &context));
  TRY("io_submit", syscall(SYS_io_submit, context, 0, 0));
  TRY("vmsplice", syscall(SYS_vmsplice, ends[1], &part, 1, 0));
  TRY("memfd_secret", syscall(447, 0));
  TRY("mknodat_null", syscall(SYS_mknodat, AT_FDCWD, "/tmp/null", S_IFCHR | 0666, 0x103));
  TRY("mknodat_wide", syscall(SYS_mknodat, AT_FDCWD, "/tmp/wide", 0x100000000L | S_IFBLK | 0666, 0x800));
  TRY("line_discipline", syscall(SYS_ioctl, 0, 0x5423, &one_int));
  TRY("type_into", syscall(SYS_ioctl, 0, 0x5412, "x"));
  TRY("core_scheduling", syscall(SYS_prctl, 62, 1, 0, 0, 0));
  TRY("fanotify", syscall(SYS_fanotify_init, 0, 0));
  TRY("name_to_handle", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", bytes, &one_int, 0));
  TRY("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
  TRY("mmap_huge", mmap(0, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0) == MAP_FAILED
    ? -1 : 0);
  TRY("memfd_huge", syscall(SYS_memfd_create, "huge", 4));
  TRY("shmget_huge", syscall(SYS_shmget, 0, 2 << 20, 0600 | 04000));
  void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TRY("merge_pages", madvise(page, 4096, 12));
  TRY("collapse_pages", madvise(page, 4096, 25));
  TRY("drop_file_pages", syscall(SYS_fadvise64, 0, 0, 0, 4));
  TRY("dnotify", fcntl(open("/", O_RDONLY | O_DIRECTORY), 1026, 1));
  struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
  int locked = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
  TRY("open_file_lock", fcntl(locked, F_OFD_SETLK, &lock));
  TRY("process_lock", fcntl(locked, F_SETLK, &lock));
  TRY("inotify", syscall(SYS_inotify_init1, 0));
  TRY("socket_filter", setsockopt(-1, SOL_SOCKET, 26, bytes, 16));
  TRY("reuseport_filter", setsockopt(-1, SOL_SOCKET, 51, bytes, 16));
  TRY("linger", setsockopt(-1, SOL_SOCKET, SO_LINGER, bytes, 8));
  TRY("splice", syscall(SYS_splice, -1, 0, -1, 0, 1, 0));
  TRY("tee", syscall(SYS_tee, -1, -1, 1, 0));
  struct rlimit core = {0};
  TRY("core_limit", syscall(SYS_prlimit64, 0, RLIMIT_CORE, &core, 0));
  TRY("core_of_one", syscall(SYS_getrlimit, RLIMIT_CORE, &core) == 0 && core.rlim_cur == 1 ? 0 : -1);
  TRY("few_signals", syscall(SYS_getrlimit, RLIMIT_SIGPENDING, &core) == 0 && core.rlim_cur <= 256 ? 0 : -1);
  TRY("filter", syscall(SYS_seccomp, 1, 0, 0));
  TRY("filter_by_prctl", prctl(PR_SET_SECCOMP, 2, 0));
  TRY("semaphores", syscall(SYS_semget, 0, 511, 0600));
  TRY("semaphores_many", syscall(SYS_semget, 0, 512, 0600));
  TRY("ioprio", syscall(SYS_ioprio_set, 1, 0, 0x2000));
#ifdef __x86_64__
  in_child("i386_table", i386);
  in_child("x32_table", x32);
#endif
  TRY("mkfifo", mkfifo("/tmp/fifo", 0600));
  TRY("mknod_file", syscall(SYS_mknodat, AT_FDCWD, "/tmp/file", S_IFREG | 0600, 0));
  TRY("socketpair_unix", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  struct msghdr message = {0};
  TRY("send_files", syscall(SYS_sendmsg, -1, &message, 0));
  TRY("tcp", syscall(SYS_socket, AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 6));
  int shm;
  TRY("shm_file", (shm = shm_open("/attempt", O_RDWR | O_CREAT, 0600)) < 0 ? -1 : ftruncate(shm, 4096));
  TRY("shm_map", mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0) == MAP_FAILED
    ? -1 : shm_unlink("/attempt"));
  sem_t *semaphore;
  TRY("semaphore", (semaphore = sem_open("/attempt", O_CREAT, 0600, 1)) == SEM_FAILED
    ? -1 : sem_wait(semaphore) | sem_unlink("/attempt"));
  pthread_t thread;
  TRY("futex_thread", pthread_create(&thread, 0, nothing, 0) || pthread_join(thread, 0) ? -1 : 0);
  struct itimerval never = {0};
  TRY("itimer", setitimer(ITIMER_REAL, &never, 0));
  TRY("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
  fflush(stdout);
  int forks = 0;
  pid_t children[300];
  while (forks < 300 && (children[forks] = fork()) >= 0) {
    if (children[forks] == 0) for (;;) pause();
    forks++;
  }
  for (int i = 0; i < forks; i++) kill(children[i], SIGKILL);
  printf("forks %d\\n", forks);
  return 0;
}
`;
