import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { ask, SandboxBench } from '../../support/sandboxes.js';

/** Evaluates the event inside: each attempt is a piece of code, its outcome the error's code or its value. */
const EVALUATOR = `
  import { createRequire } from 'node:module';
  const require = createRequire('/function/function.mjs');
  const AsyncFunction = (async () => {}).constructor;
  export default async (event) => {
    try { return { value: (await new AsyncFunction('require', event)(require)) ?? null }; }
    catch (error) { return { error: error.code ?? error.message }; }
  };`;

describe('a function that tries to get out', () => {
  const bench = new SandboxBench();
  let sandbox: Sandbox;
  let scratch: string;
  const attempt = async (code: string, of = sandbox) =>
    (await ask(of, code)) as { value?: unknown; error?: string };
  const read = (path: string, of?: Sandbox) =>
    attempt(`return require('fs').readFileSync('${path}', 'utf8')`, of);
  const list = async (path: string) =>
    (await attempt(`return require('fs').readdirSync('${path}')`)).value as string[];

  before(async () => {
    scratch = mkdtempSync('/var/tmp/nemo-test-escape-');
    sandbox = await bench.run(EVALUATOR, { env: { SECRET: 'a-secret-of-the-first' } });
  });
  after(async () => {
    await bench.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  it('finds no file of the host', async () => {
    for (const path of [
      '/etc/shadow',
      '/etc/passwd',
      '/root',
      '/home',
      '/var',
      '/sys',
      '/run',
      '/bin/sh',
      '/usr/bin/bwrap',
    ]) {
      expect(await read(path), path).to.deep.equal({ error: 'ENOENT' });
    }
    expect((await list('/')).sort()).to.deep.equal([
      'dev',
      'etc',
      'function',
      'lib',
      'lib64',
      'proc',
      'runner',
      'tmp',
      'usr',
    ]);
    expect(await list('/usr/bin')).to.deep.equal(['node']);
    // A link to the names that it may reach: none here.
    expect(await list('/etc')).to.deep.equal(['hosts']);
    expect(await read('/etc/hosts')).to.deep.equal({ error: 'ENOENT' });
  });

  it('sees no process of the host, and gets nowhere through the ones it sees', async () => {
    const pids = (await list('/proc')).filter((name) => /^\d+$/.test(name));
    expect(pids.length).to.be.within(1, 3);
    for (const path of ['/proc/1/root', '/proc/1/cwd']) {
      const { value } = await attempt(`return require('fs').readdirSync('${path}/var')`);
      expect(value, path).to.equal(undefined);
    }
    expect(await attempt(`process.kill(${process.pid}, 0)`)).to.deep.equal({ error: 'ESRCH' });
  });

  it('has no privilege, no group, and cannot get one', async () => {
    const { value } = await read('/proc/self/status');
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(String(value))?.[1]?.trim();
    expect(field('Uid')?.split('\t')[0]).to.match(/^64\d{3}$/);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(field(set), set).to.equal('0000000000000000');
    expect(field('NoNewPrivs')).to.equal('1');
    expect(field('Seccomp')).to.equal('2');
    expect(field('Groups')).to.be.oneOf(['', undefined]);
    expect(await attempt('process.setuid(0)')).to.have.property('error');
  });

  it('reaches no network: not the loopback of the host, not the outside', async () => {
    const server: Server = createServer((socket) => socket.end('host'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const connect = (host: string, to: number) =>
      attempt(
        `return new Promise((resolve, reject) => require('net').connect(${to}, '${host}').on('connect', () => resolve('in')).on('error', reject))`,
      );
    try {
      for (const [host, to] of [
        ['127.0.0.1', port],
        ['::1', port],
        ['192.0.2.1', 80],
      ] as const) {
        expect(await connect(host, to), host).to.have.property('error');
      }
    } finally {
      server.close();
    }
  });

  it('reaches no socket of the agent, by path or by abstract name', async () => {
    const name = `nemo-test-escape-${process.pid}`;
    const servers = [join(scratch, 'agent.sock'), `\0${name}`].map((path) => createServer().listen(path));
    try {
      for (const path of [join(scratch, 'agent.sock'), `\\0${name}`]) {
        const tried = await attempt(
          `return new Promise((resolve, reject) => require('net').connect('${path}').on('connect', () => resolve('in')).on('error', reject))`,
        );
        expect(tried.value, path).to.equal(undefined);
      }
      const fs = "const fs = require('fs');";
      const links = `fs.readdirSync('/proc/self/fd').flatMap((fd) => { try { return [fs.readlinkSync('/proc/self/fd/' + fd)] } catch { return [] } })`;
      const { value: open } = await attempt(`${fs} return ${links}`);
      // stdout, stderr and its own way to the agent.
      const paths = (open as string[]).filter((target) => target.startsWith('/'));
      expect(paths.filter((path) => path !== '/dev/null' && !path.startsWith('/proc/'))).to.deep.equal([]);
      expect((open as string[]).filter((target) => target.startsWith('socket:'))).to.have.length(3);
    } finally {
      for (const server of servers) server.close();
    }
  });

  it('cannot change its own code, nor that of the runner', async () => {
    for (const path of ['/function/function.mjs', '/runner/main.js', '/usr/bin/node']) {
      expect(await attempt(`require('fs').appendFileSync('${path}', ' ')`), path).to.have.property('error');
      expect(await attempt(`require('fs').unlinkSync('${path}')`), path).to.have.property('error');
      expect(await attempt(`require('fs').chmodSync('${path}', 0o777)`), path).to.have.property('error');
    }
  });

  it('cannot raise its scheduling', async () => {
    const idle = await bench.start({ scheduling: 'idle' });
    await bench.load(idle, EVALUATOR);
    for (const nice of [-1, 0, 1]) {
      const tried = await attempt(`require('os').setPriority(${nice}); return 'changed'`, idle);
      expect(tried.error, `nice ${nice}`).to.be.oneOf(['ERR_SYSTEM_ERROR', 'EPERM', 'EACCES']);
    }
  });

  it('sees nothing of another sandbox', async () => {
    const other = await bench.run(EVALUATOR, { env: { SECRET: 'a-secret-of-the-second' } });
    const own = (await attempt('return [process.env.SECRET, process.getuid(), JSON.stringify(process.env)]'))
      .value as string[];
    const others = (
      await attempt('return [process.env.SECRET, process.getuid(), JSON.stringify(process.env)]', other)
    ).value as string[];
    expect(own[0]).to.equal('a-secret-of-the-first');
    expect(others[0]).to.equal('a-secret-of-the-second');
    expect(own[1]).to.not.equal(others[1]);
    expect(others[2]).to.not.include('first').and.not.include('NEMO');
    await attempt(`require('fs').writeFileSync('/tmp/note', 'left')`);
    expect(await read('/tmp/note', other)).to.deep.equal({ error: 'ENOENT' });
    expect(await attempt(`process.kill(${other.pid}, 0)`)).to.deep.equal({ error: 'ESRCH' });
    expect((await read('/function/function.mjs', other)).value).to.equal(EVALUATOR);
    expect(await attempt(`return require('fs').readdirSync('/function')`)).to.deep.equal({
      value: ['function.mjs'],
    });
  });

  describe('by system calls that node does not offer', () => {
    const compiler = (() => {
      try {
        execFileSync('cc', ['--version'], { stdio: 'ignore' });
        return true;
      } catch {
        return false;
      }
    })();
    let outcomes: Record<string, string>;

    before(async function () {
      if (!compiler) return this.skip();
      const source = join(scratch, 'try.c');
      writeFileSync(source, ATTEMPTS);
      execFileSync('cc', ['-static', '-o', join(scratch, 'try'), source]);
      const idle = await bench.start({ scheduling: 'idle' });
      copyFileSync(join(scratch, 'try'), join(bench.directory, 'sandboxes', 'process', idle.id, 'try'));
      await bench.load(idle, EVALUATOR);
      const { value, error } = await attempt(
        `const fs = require('fs'); fs.copyFileSync('/function/try', '/tmp/try'); fs.chmodSync('/tmp/try', 0o755);
         return require('child_process').execFileSync('/tmp/try', { encoding: 'utf8' })`,
        idle,
      );
      expect(error).to.equal(undefined);
      outcomes = Object.fromEntries(
        String(value)
          .trim()
          .split('\n')
          .map((line) => line.split(' ') as [string, string]),
      );
    });

    for (const name of [
      'mount',
      'unshare',
      'clone_newuser',
      'setns',
      'ptrace',
      'process_vm_readv',
      'bpf',
      'perf_event_open',
      'keyctl',
      'userfaultfd',
      'open_by_handle_at',
      'pivot_root',
      'chroot',
      'io_uring_setup',
      'personality',
      'raw_socket',
      'sched_other',
      'sched_fifo',
      'setpriority',
      'settime',
      'reboot',
    ]) {
      it(`${name} is refused`, () => {
        expect(outcomes[name], JSON.stringify(outcomes)).to.equal('EPERM');
      });
    }
    it('packet and vsock sockets are unknown', () => {
      expect(outcomes).to.include({ packet_socket: 'EAFNOSUPPORT', vsock: 'EAFNOSUPPORT' });
    });
    it('clone3 is unknown, so that its flags need not be read', () => {
      expect(outcomes.clone3).to.equal('ENOSYS');
    });
    it('is still at SCHED_IDLE after all of it', () => {
      expect(outcomes.policy).to.equal('5');
    });
  });
});

const ATTEMPTS = `
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
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
  TRY("process_vm_readv", syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0));
  TRY("bpf", syscall(SYS_bpf, 0, bytes, 64));
  TRY("perf_event_open", syscall(SYS_perf_event_open, bytes, 0, -1, -1, 0));
  TRY("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  TRY("userfaultfd", syscall(SYS_userfaultfd, 1));
  TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, bytes, 0));
  TRY("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
  TRY("chroot", syscall(SYS_chroot, "/tmp"));
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
  printf("policy %d\\n", sched_getscheduler(0));
  return 0;
}
`;
