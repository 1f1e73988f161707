/** A C program that tries what node offers no way to, and prints a line each: the name, and `worked` or the error.
 * The last line is how often it could fork. */

export const NATIVE_ATTEMPTS = `
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static void say(const char *name, long result) {
  printf("%s %s\\n", name, result < 0 ? strerrorname_np(errno) : "worked");
}
#define TRY(name, call) errno = 0, say(name, call)
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
