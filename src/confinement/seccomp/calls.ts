/**
 * The system calls that a function may make, one table for every engine. What is not here is refused: a call becomes
 * part of what strangers reach by a line of this file. Not here, though container engines allow them: POSIX timers,
 * sync and syncfs, membarrier, AIO, io_uring, vmsplice, ptrace and its kin, file handles, changes of scheduling, watches
 * on files (which tell of the host's programs, for a watch is on the file and not on the mount that a sandbox sees).
 */

/** [x64, arm64]; -1: the architecture lacks the call. From 424 on, both number alike. */
export interface SystemCall {
  name: string;
  numbers: Readonly<Record<Architecture, number>>;
  /** Also where a sandbox is threads of a process that makes no other. */
  threads: boolean;
  /** Of files, their names and attributes. */
  files: boolean;
}

export type Architecture = 'x64' | 'arm64';

/*
 * Each entry: name, `*` if threads may make it, then its numbers. Threads may also wait for children and execute: bwrap's
 * own process at their side does the first, and becomes node by the second.
 */

/** Files: their content, their names, their attributes. */
const FILES = `
  read* 0 63, write* 1 64, pread64* 17 67, pwrite64* 18 68, readv* 19 65, writev* 20 66, preadv* 295 69,
  pwritev* 296 70, preadv2* 327 286, pwritev2* 328 287, lseek* 8 62, open* 2 -, openat* 257 56,
  openat2* 437 437, creat 85 -, close* 3 57, close_range* 436 436, dup* 32 23, dup2* 33 -, dup3* 292 24,
  flock 73 32, fsync 74 82, fdatasync 75 83, sync_file_range 277 84, fallocate 285 47,
  ftruncate* 77 46, truncate 76 45, stat* 4 -, lstat* 6 -, fstat* 5 80, newfstatat* 262 79, statx* 332 291,
  statfs* 137 43, fstatfs* 138 44, access* 21 -, faccessat* 269 48, faccessat2* 439 439, readlink* 89 -,
  readlinkat* 267 78, getcwd* 79 17, chdir 80 49, fchdir 81 50, getdents* 78 -, getdents64* 217 61,
  mkdir 83 -, mkdirat 258 34, rmdir 84 -, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36,
  unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38, renameat2 316 276, chmod 90 -, fchmod 91 52,
  fchmodat 268 53, fchmodat2 452 452, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54,
  umask* 95 166, utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88,
  readahead 187 213, sendfile 40 71, copy_file_range 326 285,
  setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, getxattr 191 8, lgetxattr 192 9,
  fgetxattr 193 10, listxattr 194 11, llistxattr 195 12, flistxattr 196 13, removexattr 197 14,
  lremovexattr 198 15, fremovexattr 199 16`;

const MEMORY = `
  munmap* 11 215, mprotect* 10 226, mremap* 25 216, brk* 12 214,
  msync* 26 227, mincore 27 232, mlock 149 228, mlock2 325 284, mlockall 151 230, munlock 150 229,
  munlockall 152 231, pkey_alloc* 330 289, pkey_free* 331 290, pkey_mprotect* 329 288,
  get_mempolicy 239 236`;

/** POSIX timers (timer_create) are not here: one whose signal is ignored interrupts its core even while its process is frozen. */
const WAITING = `
  poll* 7 -, ppoll* 271 73, select* 23 -, pselect6* 270 72, epoll_create 213 -, epoll_create1* 291 20,
  epoll_ctl* 233 21, epoll_wait* 232 -, epoll_pwait* 281 22, epoll_pwait2* 441 441, eventfd* 284 -,
  eventfd2* 290 19, pipe* 22 -, pipe2* 293 59, signalfd 282 -, signalfd4 289 74, timerfd_create* 283 85,
  timerfd_settime* 286 86, timerfd_gettime* 287 87, futex* 202 98, futex_waitv* 449 449, nanosleep* 35 101,
  clock_nanosleep* 230 115, pause 34 -, restart_syscall* 219 128`;

const TIME = `
  gettimeofday* 96 169, time* 201 -, times* 100 153, clock_gettime* 228 113, clock_getres* 229 114,
  alarm 37 -, getitimer 36 102, setitimer 38 103`;

const SOCKETS = `
  connect* 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242, shutdown* 48 210,
  sendto* 44 206, recvfrom* 45 207, sendmsg 46 211, recvmsg* 47 212, sendmmsg 307 269, recvmmsg 299 243,
  getsockname* 51 204, getpeername* 52 205, getsockopt* 55 209`;

/** To itself and its own: a sandbox has a process namespace. */
const SIGNALS = `
  rt_sigaction* 13 134, rt_sigprocmask* 14 135, rt_sigpending* 127 136, rt_sigreturn* 15 139,
  rt_sigsuspend* 130 133, rt_sigtimedwait* 128 137, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240,
  sigaltstack* 131 132, kill 62 129, tkill 200 130, tgkill* 234 131, pidfd_open 434 434,
  pidfd_send_signal 424 424`;

const PROCESSES = `
  fork 57 -, vfork 58 -, execve* 59 221, execveat 322 281, exit* 60 93, exit_group* 231 94, wait4* 61 260,
  waitid* 247 95, getpid* 39 172, getppid* 110 173, gettid* 186 178, getpgid 121 155, getpgrp 111 -,
  setpgid 109 154, getsid 124 156, setsid 112 157, set_tid_address* 218 96, set_robust_list* 273 99,
  get_robust_list* 274 100, rseq* 334 293, arch_prctl* 158 -, getcpu* 309 168, getrusage* 98 165,
  getrlimit* 97 163, getpriority* 140 141, ioprio_get 252 31,
  sched_yield* 24 124, sched_getaffinity* 204 123, sched_setaffinity 203 122, sched_getparam* 143 121,
  sched_getscheduler* 145 120, sched_getattr* 315 275, sched_get_priority_max* 146 125,
  sched_get_priority_min* 147 126, sched_rr_get_interval* 148 127, uname* 63 160, sysinfo* 99 179,
  getrandom* 318 278, landlock_create_ruleset 444 444, landlock_add_rule 445 445,
  landlock_restrict_self 446 446`;

/** There is one user in a sandbox, and no privilege. */
const USERS = `
  getuid* 102 174, geteuid* 107 175, getgid* 104 176, getegid* 108 177, getresuid* 118 148,
  getresgid* 120 150, getgroups* 115 158, setuid 105 146, setgid 106 144, setreuid 113 145,
  setregid 114 143, setresuid 117 147, setresgid 119 149, setfsuid 122 151, setfsgid 123 152,
  setgroups 116 159, capget* 125 90, capset 126 91`;

/** In a namespace of its own. */
const IPC = `
  shmat 30 196, shmdt 67 197, shmctl 31 195, semop 65 193,
  semtimedop 220 192, semctl 66 191, msgget 68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187,
  mq_open 240 180, mq_unlink 241 181, mq_timedsend 242 182, mq_timedreceive 243 183, mq_notify 244 184,
  mq_getsetattr 245 185`;

/** As `rules.ts` says: by their arguments, or as where the kernel lacks them. */
const CONDITIONAL_ENTRIES = `
  clone* 56 220, clone3* 435 435, socket* 41 198, socketpair 53 199, ioctl* 16 29, prctl* 157 167,
  mknod 133 -, mknodat 259 33, semget 64 190, seccomp 317 277,
  mmap* 9 222, madvise* 28 233, memfd_create 319 279, shmget 29 194, fadvise64* 221 223, fcntl* 72 25,
  setsockopt* 54 208, setrlimit 160 164, prlimit64* 302 261, inotify_init 253 -, inotify_init1 294 26,
  timer_create* 222 107, io_setup* 206 0, membarrier* 324 283, splice* 275 76, tee* 276 77`;

function parse(entries: string): SystemCall[] {
  const files = entries === FILES;
  return entries.split(',').map((entry) => {
    const [name = '', x64, arm64] = entry.trim().split(' ');
    return {
      name: name.replace('*', ''),
      numbers: { x64: Number(x64), arm64: arm64 === '-' ? -1 : Number(arm64) },
      threads: name.endsWith('*'),
      files,
    };
  });
}

/** With any arguments. */
export const UNCONDITIONAL: readonly SystemCall[] = [
  ...[FILES, MEMORY, WAITING, TIME, SOCKETS, SIGNALS, PROCESSES, USERS, IPC].flatMap((entries) =>
    parse(entries),
  ),
];

export const CONDITIONAL: readonly SystemCall[] = parse(CONDITIONAL_ENTRIES);
