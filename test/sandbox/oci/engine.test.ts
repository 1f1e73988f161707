import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { CgroupThrottle } from '../../../src/linux/cgroup/throttle.js';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { OciBench } from '../../support/oci-bench.js';
import { busyboxLayer, nodeLayer, writeLayout } from '../../support/oci-images.js';
import { ask, call, errorOf } from '../../support/sandboxes.js';

const WHO = `#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo "$GREETING/$FROM_IMAGE"
`;

describe('an image that is an HTTP server', () => {
  const bench = new OciBench();
  let variant: string;
  before(async () => {
    expect(await bench.engine.check()).to.deep.equal({ ok: true });
    const config = {
      Entrypoint: ['httpd'],
      Cmd: ['-f', '-p', '9000', '-h', '/www'],
      ExposedPorts: { '9000/tcp': {} },
      Env: ['FROM_IMAGE=image', 'PATH=/bin'],
    };
    const www = [
      { path: 'www/index.html', content: 'hello\n' },
      { path: 'www/cgi-bin/who', content: WHO },
    ];
    writeLayout(join(bench.directory, 'image'), { layers: [busyboxLayer(), www], config });
    variant = await bench.deploy(join(bench.directory, 'image'));
  });
  after(() => bench.close());

  it('is called, several at a time, with its own environment and that of the function', async () => {
    const env = { GREETING: `it's "$HOME" \n\\` };
    const sandbox = await bench.run(variant, { env, concurrency: 2 });
    const answers = await Promise.all([1, 2, 3].map(() => call(sandbox, { method: 'GET', path: '/' })));
    for (const { status, headers, body } of answers)
      expect([status, headers['content-type'], body.toString()]).to.deep.equal([200, 'text/html', 'hello\n']);
    const { body } = await call(sandbox, { method: 'GET', path: '/cgi-bin/who' });
    expect(body.toString()).to.equal(`${env.GREETING}/image\n`);
    expect((await call(sandbox, { method: 'GET', path: '/none' })).status).to.equal(404);
    expect(sandbox.inFlight).to.equal(0);
    await sandbox.kill();
  });

  it('keeps secrets out of arguments and of what others may read', async () => {
    const sandbox = await bench.run(variant, { env: { SECRET: 'a-secret' } });
    const run = join(bench.directory, 'run', sandbox.id);
    expect(readFileSync(join(run, 'config.json'), 'utf8')).to.not.contain('a-secret');
    expect(statSync(run).mode & 0o077).to.equal(0);
    for (const pid of readdirSync('/proc').filter(
      (name) => /^\d+$/.test(name) && name !== `${process.pid}`,
    )) {
      try {
        expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).to.not.contain('a-secret');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      }
    }
    await sandbox.kill();
  });

  it('leaves nothing behind: processes, folders, groups in any hierarchy', async () => {
    const sandbox = await bench.run(variant);
    await sandbox.kill();
    expect((await sandbox.exited).cause).to.equal('killed');
    expect(existsSync(join(bench.directory, 'run', sandbox.id))).to.equal(false);
    const root = sandbox.cgroup.joinPaths[0]!.split('/').at(-3)!;
    for (const hierarchy of readdirSync('/sys/fs/cgroup')) {
      const group = join('/sys/fs/cgroup', hierarchy, root, sandbox.id);
      expect(existsSync(group), group).to.equal(false);
    }
  });

  it('says why a server does not come up', async () => {
    const folder = join(bench.directory, 'quitter');
    writeLayout(folder, {
      layers: [busyboxLayer()],
      config: { Cmd: ['sh', '-c', 'echo no config >&2; exit 3'] },
    });
    const quitter = await bench.deploy(folder);
    const error = await errorOf(bench.run(quitter));
    expect([
      error.code,
      error.message.includes('exit code 3'),
      error.message.includes('no config'),
    ]).to.deep.equal(['FUNCTION_LOAD', true, true]);
  });
});

const EVALUATOR = `
  import { createRequire } from 'node:module';
  const require = createRequire('/app/index.mjs');
  const AsyncFunction = (async () => {}).constructor;
  export default async (event) => {
    try { return { value: (await new AsyncFunction('require', event)(require)) ?? null }; }
    catch (error) { return { error: error.code ?? error.message }; }
  };`;

describe('an image with node and a handler', () => {
  const bench = new OciBench();
  let variant: string;
  let sandbox: Sandbox;
  const attempt = async (code: string, of = sandbox) =>
    (await ask(of, code)) as { value?: unknown; error?: string };
  const read = (path: string) => attempt(`return require('fs').readFileSync('${path}', 'utf8')`);

  before(async function () {
    this.timeout(60_000);
    const layers = [
      nodeLayer(),
      busyboxLayer(),
      [{ path: 'app/index.mjs', content: EVALUATOR, mode: 0o600 }],
    ];
    writeLayout(join(bench.directory, 'image'), { layers });
    variant = await bench.deploy({ image: join(bench.directory, 'image'), handler: '/app/index.mjs' });
    sandbox = await bench.run(variant, { env: { SECRET: 'one' } });
  });
  after(() => bench.close());

  it('is accounted, capped and frozen in its group like any other', async () => {
    const other = await bench.run(variant);
    const throttle = new CgroupThrottle(other.cgroup.handle);
    try {
      const spin = `const end = Date.now() + 150; while (Date.now() < end); return 'spun'`;
      expect(await attempt(spin, other)).to.deep.equal({ value: 'spun' });
      const usedNs = throttle.readCpuNs();
      expect(usedNs).to.be.greaterThan(20_000_000);
      expect(other.cgroup.usage().memoryBytes).to.be.greaterThan(1 << 20);
      expect(throttle.setQuotaRatio(0.1) && throttle.setQuotaRatio(null)).to.equal(true);
      expect(throttle.freeze()).to.equal(true);
      const late = attempt(`return 'thawed'`, other);
      const first = await Promise.race([late, new Promise((resolve) => setTimeout(resolve, 100, 'frozen'))]);
      expect(first).to.equal('frozen');
      throttle.thaw();
      expect(await late).to.deep.equal({ value: 'thawed' });
    } finally {
      throttle.thaw();
      throttle.close();
      await other.kill();
    }
  });

  it('finds no file of the host, no process, no memory of the agent', async () => {
    for (const path of ['/etc/shadow', '/root', '/var', `/proc/${process.pid}/mem`, '/sys/kernel', '/run'])
      expect((await read(path)).error, path).to.equal('ENOENT');
    const { value } = await attempt(
      `return require('fs').readdirSync('/proc').filter((name) => /^\\d+$/.test(name))`,
    );
    expect((value as string[]).length).to.be.within(1, 2);
    expect(await attempt(`process.kill(${process.pid}, 0)`)).to.deep.equal({ error: 'ESRCH' });
    for (const path of [
      '/proc/sysrq-trigger',
      '/proc/sys/kernel/core_pattern',
      '/app/index.mjs',
      '/.nemo/runner/main.js',
    ])
      expect(await attempt(`require('fs').writeFileSync('${path}', 'c')`), path).to.have.property('error');
  });

  it('has no privilege, and cannot get one', async () => {
    const { value } = await read('/proc/self/status');
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(String(value))?.[1]?.trim();
    expect(Number(field('Uid')?.split('\t')[0])).to.be.within(61_000, 61_999);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(field(set), set).to.equal('0000000000000000');
    expect([field('NoNewPrivs'), field('Seccomp')]).to.deep.equal(['1', '2']);
    expect(field('Groups')).to.be.oneOf(['', undefined]);
  });

  it('reaches no network and no socket of the agent', async () => {
    const scratch = mkdtempSync('/var/tmp/nemo-test-oci-agent-');
    const servers = [join(scratch, 'agent.sock'), `\0nemo-test-oci-${process.pid}`].map((path) =>
      createServer().listen(path),
    );
    const tcp = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => tcp.once('listening', resolve));
    const { port } = tcp.address() as { port: number };
    try {
      const targets = [`${port}, '127.0.0.1'`, `80, '192.0.2.1'`, `'${scratch}/agent.sock'`];
      for (const target of [...targets, `'\\0nemo-test-oci-${process.pid}'`]) {
        const tried = await attempt(
          `return new Promise((resolve, reject) => require('net').connect(${target}).on('connect', () => resolve('in')).on('error', reject))`,
        );
        expect(tried, target).to.have.property('error');
      }
    } finally {
      for (const server of [...servers, tcp]) server.close();
      rmSync(scratch, { recursive: true });
    }
  });

  it('is refused the system calls that lead out', async function () {
    const source = join(bench.directory, 'try.c');
    writeFileSync(source, ATTEMPTS);
    try {
      execFileSync('cc', ['-static', '-o', join(bench.directory, 'try'), source], { stdio: 'ignore' });
    } catch {
      return this.skip();
    }
    const program = readFileSync(join(bench.directory, 'try')).toString('base64');
    // In parts: one call's event is a line of code.
    const { value, error } = await attempt(
      `const fs = require('fs'); fs.writeFileSync('/tmp/try', Buffer.from('${program}', 'base64'), { mode: 0o755 });
       return require('child_process').execFileSync('/tmp/try', { encoding: 'utf8' })`,
    );
    expect(error).to.equal(undefined);
    for (const line of String(value).trim().split('\n')) {
      const [name, outcome] = line.split(' ');
      expect(outcome, line).to.equal(name === 'packet' || name === 'vsock' ? 'EAFNOSUPPORT' : 'EPERM');
    }
  });

  it('cannot use more memory, processes, files or disk than it may', async () => {
    const greedy = await bench.run(variant, { memoryBytes: 96 << 20 });
    const error = await errorOf(
      attempt(`const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))`, greedy),
    );
    expect(error.code).to.equal('FUNCTION_OOM');
    const forks = await attempt(
      `const { spawn } = require('child_process'); let failed = 0;
       const children = Array.from({ length: 80 }, () => spawn('/bin/sleep', ['60']).on('error', () => failed++));
       await new Promise((resolve) => setTimeout(resolve, 300));
       for (const child of children) child.kill('SIGKILL');
       return failed > 0`,
    );
    expect(forks).to.deep.equal({ value: true });
    expect(await attempt(`require('fs').writeFileSync('/tmp/big', Buffer.alloc(20 << 20))`)).to.deep.equal({
      error: 'ENOSPC',
    });
    const files = `const fs = require('fs'); for (let i = 0; i < 2000; i++) fs.openSync('/dev/null')`;
    expect((await attempt(files)).error).to.equal('EMFILE');
  });

  it('does not outlive its end, whatever it started', async () => {
    const stubborn = await bench.run(variant);
    await attempt(
      `process.on('SIGTERM', () => {});
       require('child_process').spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' }).unref()`,
      stubborn,
    );
    const running = call(stubborn, { body: '"for (;;);"', headers: { 'content-type': 'application/json' } });
    const procs = stubborn.cgroup.joinPaths[0]!;
    const pids = readFileSync(procs, 'utf8').trim().split('\n');
    expect(pids.length).to.be.at.least(4);
    await stubborn.kill();
    expect((await errorOf(running)).code).to.equal('FUNCTION_EXIT');
    for (const pid of pids) {
      const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : 'Z';
      expect(state, pid).to.match(/Z/);
    }
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
#include <unistd.h>
#define TRY(name, call) errno = 0, printf("%s %s\\n", name, (call) < 0 ? strerrorname_np(errno) : "worked")
int main(void) {
  struct sched_param zero = {0};
  char bytes[256] = {0};
  TRY("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, ""));
  TRY("unshare", syscall(SYS_unshare, CLONE_NEWUSER));
  TRY("clone", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
  TRY("setns", syscall(SYS_setns, 0, 0));
  TRY("ptrace", syscall(SYS_ptrace, 16, getppid(), 0, 0));
  TRY("process_vm_readv", syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0));
  TRY("bpf", syscall(SYS_bpf, 0, bytes, 64));
  TRY("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, bytes, 0));
  TRY("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
  TRY("mknod", syscall(SYS_mknod, "/tmp/sda", 0060600, 0x800));
  TRY("raw", syscall(SYS_socket, AF_INET, SOCK_RAW, 1));
  TRY("packet", syscall(SYS_socket, AF_PACKET, SOCK_DGRAM, 0));
  TRY("vsock", syscall(SYS_socket, 40, SOCK_STREAM, 0));
  TRY("sched_other", syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &zero));
  TRY("setpriority", setpriority(PRIO_PROCESS, 0, -5));
  return 0;
}
`;
