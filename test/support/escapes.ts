/**
 * What a function may try in order to get out, run against every engine that runs JavaScript. Each attempt is code that
 * returns what it got hold of, so a defence that fails shows what it let through; an error is a defence that held.
 * Attempts of one engine alone, and those of WebAssembly, stand beside the engine.
 */

import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { tasksPath } from '../../src/control/gate.js';
import { listPids } from '../../src/linux/process.js';
import type { LoadOptions, Sandbox } from '../../src/sandbox/engine.js';
import { SANDBOX } from '../../src/tunables/index.js';
import { buildNativeAttempts, expectRefused, NATIVE_ANSWERS, outcomesOf } from './native-attempts.js';
import { ask, call, errorOf, json } from './sandboxes.js';

/** Runs the event as the body of a function. */
export const EVALUATOR = `
  import { createRequire } from 'node:module';
  const require = createRequire('/function/function.mjs');
  const AsyncFunction = (async () => {}).constructor;
  export default async (event) => {
    try { return { value: (await new AsyncFunction('require', event)(require)) ?? null }; }
    catch (error) { return { error: error.code ?? error.message }; }
  };`;

export interface Outcome {
  value?: unknown;
  error?: string;
}

const attemptIn = attempt;

export async function attempt(sandbox: Sandbox, code: string): Promise<Outcome> {
  return (await ask(sandbox, code)) as Outcome;
}

/** How an engine is attacked. */
export interface EscapeBox {
  /** A warm sandbox that runs EVALUATOR, in 128 MB unless asked otherwise. */
  run(options?: Partial<LoadOptions> & { group?: string }): Promise<Sandbox>;
  /** Where no code comes from strings: runs `code` in another sandbox that is as `of`. */
  attempt?(of: Sandbox, code: string): Promise<Outcome>;
  /** Where its own code and the runner's lie, as it sees them. */
  codePaths: readonly string[];
  /** It may run programs, so system calls can be tried that node does not offer. */
  native: boolean;
  /** What such calls are answered; default NATIVE_ANSWERS. */
  nativeAnswers?: Readonly<Record<string, string>>;
  /**
   * It has a kernel and a machine to itself: the boundary is the process that runs them, so the privileges of that one
   * count, system calls end inside, and where its code lies it may write.
   */
  ownKernel?: true;
  /** User ids of its sandboxes. */
  uids: readonly [first: number, count: number];
}

const FS = `const fs = require('fs');`;
/** Keeps what `get` returns for each of `list` without an error. */
const TAKEN = `const taken = (list, get) => list.flatMap((one) => { try { const got = get(one); return got === undefined ? [] : [one + ': ' + String(got).slice(0, 40)]; } catch { return []; } });`;

/** The files to try, whatever stands there: content, or names. */
function readFiles(paths: readonly string[]): string {
  return `${FS} ${TAKEN} return taken(${JSON.stringify(paths)}, (path) =>
    fs.statSync(path).isDirectory() ? fs.readdirSync(path).join() : fs.readFileSync(path, 'latin1'))`;
}

function writeFiles(paths: readonly string[]): string {
  return `${FS} ${TAKEN} return taken(${JSON.stringify(paths)}.flatMap((path) => ['write ' + path, 'unlink ' + path, 'chmod ' + path, 'rename ' + path, 'reopen ' + path, 'truncate ' + path]), (what) => {
    const [how, path] = what.split(' ');
    if (how === 'write') fs.appendFileSync(path, 'x');
    else if (how === 'unlink') fs.unlinkSync(path);
    else if (how === 'chmod') fs.chmodSync(path, 0o777);
    else if (how === 'rename') fs.renameSync(path, path + '.moved');
    else if (how === 'truncate') fs.truncateSync(path, 0);
    else fs.writeSync(fs.openSync('/proc/self/fd/' + fs.openSync(path, 'r'), 'r+'), 'x');
    return 'done';
  })`;
}

const connect = (to: string): string =>
  `return new Promise((resolve, reject) => require('net').connect(${to}).on('connect', () => resolve('in')).on('error', reject))`;

/** Where nothing may be written, beside its own code. */
const HOST_SETTINGS = [
  ...['/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern', '/proc/sys/vm/overcommit_memory'],
  ...['/sys/kernel/uevent_helper', '/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/memory/release_agent'],
  ...['/dev/sda', '/dev/mem', '/dev/kmsg', '/dev/x', '/etc/passwd', '/usr/bin/node', '/x', '/var/x'],
];

/** What the benches of sandboxes allow. */
const PIDS_MAX = 64;

/** Defines the tests. What `box` runs is the caller's to end. */
export function itHoldsAgainstEscapes(box: EscapeBox): void {
  let sandbox: Sandbox;
  let scratch: string;
  const SECRET = `s${randomBytes(8).toString('hex')}`;
  const attempt = box.attempt ?? attemptIn;
  /** Nothing was got hold of. */
  const expectNothing = async (code: string, of = sandbox, what = code): Promise<void> => {
    const { value } = await attempt(of, code);
    expect(value ?? [], what).to.deep.equal([]);
  };

  before(async () => {
    scratch = mkdtempSync('/var/tmp/nemo-test-escape-');
    // Open to all: what keeps a function from it must be that it is not there.
    chmodSync(scratch, 0o755);
    sandbox = await box.run({ env: { SECRET } });
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  it('reads no file of the host, and nothing of the agent’s memory', async () => {
    const own = join(scratch, 'secret');
    writeFileSync(own, SECRET, { mode: 0o644 });
    const agent = ['mem', 'environ', 'maps', 'fd', 'root', 'cwd'].map((of) => `/proc/${process.pid}/${of}`);
    const files = ['/etc/shadow', '/root', '/home', '/var/lib', '/run', '/sys/kernel', '/proc/kcore', own];
    const through = ['/proc/1/root', '/proc/self/root', '/proc/1/cwd/..'].map((root) => root + own);
    await expectNothing(readFiles([...files, ...agent, ...through, `/tmp/../..${own}`]));
  });

  if (box.native && !box.ownKernel)
    it('reads no file of the kernel that takes locks which others wait for', () =>
      expectNothing(
        `${FS} return ['/proc/locks', '/proc/zoneinfo'].filter((path) => fs.statSync(path).isFile())`,
      ));

  it('sees and signals no process but its own', async () => {
    const pids = `return require('fs').readdirSync('/proc').filter((name) => /^\\d+$/.test(name))`;
    expect(((await attempt(sandbox, pids)).value as string[] | undefined) ?? []).to.have.length.below(4);
    for (const pid of [process.pid, process.ppid, sandbox.pid]) {
      expect(await attempt(sandbox, `process.kill(${pid}, 0); return ${pid}`)).to.have.property('error');
    }
  });

  it('has no privilege and gets none, nor does a process that it sees', async () => {
    await expectNothing(
      `${TAKEN} return taken(['setuid', 'seteuid', 'setgid', 'setegid'], (name) => process[name](0) ?? 'root')`,
    );
    await expectNothing(`process.setgroups([0]); return ['groups']`);
    await expectNothing(`${TAKEN} return taken([-5], (nice) => require('os').setPriority(nice) ?? 'raised')`);
    await expectNothing(
      `${FS} fs.writeFileSync('/proc/self/oom_score_adj', '0'); return [fs.readFileSync('/proc/self/oom_score_adj', 'utf8')]`,
    );
    const read = `${FS} return fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).map((pid) => fs.readFileSync('/proc/' + pid + '/status', 'utf8'))`;
    const statuses =
      box.native && !box.ownKernel ? ((await attempt(sandbox, read)).value as string[]) : statusesOf(sandbox);
    expect(statuses.length).to.be.greaterThan(0);
    for (const status of statuses) expectHarmless(status, box.uids);
  });

  it('reaches no network: not the host’s loopback, not the outside, no socket of the agent', async () => {
    const name = `nemo-test-escape-${process.pid}`;
    const path = join(scratch, 'agent.sock');
    const servers: Server[] = [path, `\0${name}`].map((at) => createServer().listen(at));
    const tcp = createServer((socket) => socket.end('in')).listen(0, '127.0.0.1');
    await new Promise((resolve) => tcp.once('listening', resolve));
    chmodSync(path, 0o777);
    const { port } = tcp.address() as { port: number };
    try {
      const hosts = [`${port}, '127.0.0.1'`, `${port}, '::1'`, `80, '192.0.2.1'`, `80, '169.254.169.254'`];
      for (const to of [...hosts, `'${path}'`, `'\\0${name}'`])
        expect(await attempt(sandbox, connect(to)), to).to.have.property('error');
      for (const host of [`127.0.0.1:${port}`, '192.0.2.1'])
        expect(await attempt(sandbox, `return (await fetch('http://${host}/')).status`)).to.have.property(
          'error',
        );
    } finally {
      for (const server of [...servers, tcp]) server.close();
    }
  });

  it('changes neither its own code nor the runner’s, and no setting of the host', async () => {
    await expectNothing(writeFiles(box.codePaths));
    await expectNothing(writeFiles(HOST_SETTINGS));
    if (!box.native || box.ownKernel) await expectNothing(writeFiles(['/dev/shm/x']));
    const folders = [...(box.ownKernel ? [] : ['/function']), '/runner', '/app', '/.nemo', '/', '/usr/bin'];
    await expectNothing(
      `${FS} ${TAKEN} return taken(${JSON.stringify(folders)}, (folder) => fs.writeFileSync(folder + '/new', 'x') ?? 'written')`,
    );
  });

  it('takes no more memory than it may', async () => {
    const greedy = await box.run({ memoryBytes: 96 << 20 });
    const all = `const all = []; for (;;) all.push(new Array(100_000).fill(all.length))`;
    expect((await errorOf(attempt(greedy, all))).code).to.equal('FUNCTION_OOM');
    expect((await attempt(sandbox, 'return 1')).value).to.equal(1);
  });

  it('opens no more files and fills no more disk than it may; starts no process where none is meant to be', async () => {
    await expectNothing(
      `${FS} const open = []; try { while (open.length < 5000) open.push(fs.openSync('/dev/null')); } catch {} for (const fd of open) fs.closeSync(fd); return open.length > 1024 ? [open.length] : []`,
    );
    await expectNothing(
      `${FS} let bytes = 0; try { for (; bytes < 1 << 28; bytes += 1 << 20) fs.appendFileSync('/tmp/big', Buffer.alloc(1 << 20)); } catch {} fs.rmSync('/tmp/big', { force: true }); return bytes > 16 << 20 ? [bytes] : []`,
    );
    if (box.native) return;
    await expectNothing(
      `return new Promise((resolve, reject) => require('child_process').spawn(process.execPath, ['-e', '0']).on('spawn', () => resolve(['spawned'])).on('error', reject))`,
    );
    await expectNothing(`return [typeof new Worker('1')]`);
  });

  it('finds nothing that another function, or one of another sharing group, left or knows', async () => {
    const others = `${SECRET}-of-another`;
    const leave = `globalThis.left = 1; process.env.LEFT = '1'; try { Object.prototype.left = 1; Array.prototype.left = 1 } catch {} try { require('fs').writeFileSync('/tmp/left', '1') } catch {} return process.env.SECRET`;
    expect(await attempt(sandbox, leave)).to.deep.equal({ value: SECRET });
    for (const group of ['', 'another']) {
      const other = await box.run({ env: { SECRET: others }, group });
      expect(await attempt(other, 'return process.env.SECRET')).to.deep.equal({ value: others });
      await expectNothing(
        `return [typeof globalThis.left, typeof ({}).left, typeof [].left, typeof process.env.LEFT].filter((kind) => kind !== 'undefined')`,
        other,
      );
      await expectNothing(readFiles(['/tmp/left']), other);
      await expectNothing(`return JSON.stringify(process.env).includes('NEMO') ? ['ours'] : []`, other);
      if (group !== '') expect(other.pid).to.not.equal(sandbox.pid);
      await other.kill();
    }
    await attempt(sandbox, 'delete Object.prototype.left; delete Array.prototype.left');
  });

  it('keeps its secrets out of every argument list and environment', async () => {
    const { value } = await attempt(sandbox, 'return process.env.SECRET');
    expect(value).to.equal(SECRET);
    expect(processesThatShow(SECRET)).to.deep.equal([]);
  });

  if (box.attempt !== undefined) return;
  it('does not run on after its end, whatever it started', async () => {
    const stubborn = await box.run();
    // Nothing stays where nothing could be started.
    await attempt(
      stubborn,
      `process.on('SIGTERM', () => {}); setInterval(() => {}, 10);
       const script = 'process.on("SIGTERM", () => {}); require("child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 100)"], { detached: true, stdio: "ignore" }).unref(); setInterval(() => {}, 100)';
       const child = require('child_process').spawn(process.execPath, ['-e', script], { detached: true, stdio: 'ignore' }).unref();
       await new Promise((resolve) => setTimeout(resolve, 300))`,
    );
    const members = readFileSync(tasksPath(stubborn.cgroup.handle), 'utf8').trim().split('\n');
    expect(members).to.not.include('');
    const running = errorOf(call(stubborn, json('for (;;);')));
    await stubborn.kill();
    expect((await running).code).to.equal('FUNCTION_EXIT');
    await stubborn.exited;
    expect(members.filter(isRunning)).to.deep.equal([]);
  });

  it('spoils its own runner’s prototypes, and only its own calls suffer', async () => {
    const spoiled = await box.run();
    await attempt(
      spoiled,
      `const broken = () => { throw new Error('mine') };
       for (const of of [Object.prototype, Array.prototype]) for (const name of ['status', 'code', 'headers', 'kind', 'type', 'then']) of[name] = 999;
       Buffer.from = broken; Uint8Array.prototype.set = broken; Uint8Array.prototype.subarray = broken; Set.prototype.add = broken;
       Map.prototype.get = broken; Promise.prototype.then = broken; Date.now = broken; performance.now = broken`,
    ).catch(() => undefined);
    const { status, headers } = await call(spoiled, json('return 1')).catch(() => ({
      status: 0,
      headers: {},
    }));
    expect(status).to.be.oneOf([0, 200]);
    expect(Object.keys(headers)).to.not.include.members(['status', 'then']);
    expect(({} as { status?: number }).status).to.equal(undefined);
    expect((await attempt(sandbox, 'return 1')).value).to.equal(1);
    await spoiled.kill();
  });

  if (!box.native || box.ownKernel) return;
  it('has shared memory of its own only: bounded, counted as its memory, and gone with it', async () => {
    const fill = `${FS} let bytes = 0; try { for (;; bytes += 1 << 20) fs.appendFileSync('/dev/shm/big', Buffer.alloc(1 << 20)); } catch { return bytes; }`;
    const filler = await box.run();
    const { value } = await attempt(filler, fill);
    expect(value).to.be.within(SANDBOX.sharedMemoryMaxBytes - (1 << 20), SANDBOX.sharedMemoryMaxBytes);
    expect(await attempt(sandbox, `return require('fs').readdirSync('/dev/shm')`)).to.deep.equal({
      value: [],
    });
    // Either of the two alone would fit.
    const more = `globalThis.held = Buffer.alloc(${SANDBOX.sharedMemoryMaxBytes}, 1); return 1`;
    expect((await errorOf(attempt(filler, more))).code).to.equal('FUNCTION_OOM');
    const holder = await box.run();
    expect(await attempt(holder, more)).to.deep.equal({ value: 1 });
    await holder.kill();
  });

  describe('by system calls that node does not offer', () => {
    let outcomes: Map<string, string>;
    before(async function () {
      const program = buildNativeAttempts(scratch);
      if (program === undefined) return this.skip();
      const code = readFileSync(program).toString('base64');
      const { value, error } = await attempt(
        sandbox,
        `${FS} fs.writeFileSync('/tmp/try', Buffer.from('${code}', 'base64'), { mode: 0o755 });
         return require('child_process').execFileSync('/tmp/try', { encoding: 'utf8' })`,
      );
      expect(error).to.equal(undefined);
      outcomes = outcomesOf(String(value));
    });

    it('every one is refused, and what ordinary programs do is not', () => {
      expectRefused(outcomes, box.nativeAnswers ?? NATIVE_ANSWERS);
    });

    it('it forks no further than its limit of processes', () => {
      expect(Number(outcomes.get('forks'))).to.be.within(1, PIDS_MAX);
    });
  });
}

/** The processes below a sandbox's outermost one, which only waits. */
export function pidsBelow(sandbox: Sandbox): number[] {
  const childrenOf = (pid: number): number[] =>
    (textOf(`/proc/${pid}/task/${pid}/children`).match(/\d+/g) ?? [])
      .map(Number)
      .flatMap((child) => [child, ...childrenOf(child)]);
  return childrenOf(sandbox.pid);
}

/** Processes of this machine in whose argument list or environment `secret` stands. */
export function processesThatShow(secret: string): string[] {
  const shows = (pid: number) =>
    ['cmdline', 'environ'].some((file) => textOf(`/proc/${pid}/${file}`).includes(secret));
  return listPids()
    .filter(shows)
    .map((pid) => `${pid} ${textOf(`/proc/${pid}/comm`)}`);
}

export function statusesOf(sandbox: Sandbox): string[] {
  return pidsBelow(sandbox).map((pid) => textOf(`/proc/${pid}/status`));
}

/** No capability, no group, no way to either, and the system call filter: of one /proc/<pid>/status. */
export function expectHarmless(status: string, [first, count]: EscapeBox['uids']): void {
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
  const who = field('Name');
  for (const id of field('Uid').split('\t')) expect(Number(id), who).to.be.within(first, first + count - 1);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    expect(field(set), `${who} ${set}`).to.equal('0000000000000000');
  expect([field('NoNewPrivs'), field('Seccomp'), field('Groups')], who).to.deep.equal(['1', '2', '']);
}

function isRunning(id: string): boolean {
  return /^State:\s+[^ZX]/m.test(textOf(`/proc/${id}/status`));
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
