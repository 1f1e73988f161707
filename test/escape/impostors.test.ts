/**
 * Users of this box, and programs that they can write, called like NFs: against discovery itself, with real processes.
 * The one that root runs is found each time, so what is not found was looked at and refused.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { processArgs, processStat, startTicks } from '../../src/linux/process.js';
import { readProcessFacts } from '../../src/linux/process-facts.js';
import { endProcess } from '../../src/linux/tied-process.js';
import type { NfProfile } from '../../src/model/nf-profile.js';
import type { ExplicitNf } from '../../src/model/nf-profile-schema.js';
import { Discovery, discover } from '../../src/nf/discovery.js';
import { type Candidate, compileRules, judge } from '../../src/nf/match.js';
import { BUILTIN_PROFILES, loadProfiles } from '../../src/nf/profiles.js';
import { scanForNfs } from '../../src/nf/scan.js';
import { NfWatcher } from '../../src/nf/watcher.js';
import { DISCOVERY } from '../../src/tunables/index.js';
import { startIn } from '../support/in-cgroup.js';
import { until } from '../support/waiting.js';

const NOBODY = 65534;
/** Unique, so that no other test's processes are found; short, as comm holds 15 characters. */
const NAME = `nfi-${process.pid}`;
const PROFILE: NfProfile = {
  name: 'probe',
  title: 'probe',
  match: { process: '^(sleep|su|perl|program)$', args: `^${NAME}( |$)` },
  mode: 'sleep',
  sloP99Us: 100,
  latency: { source: 'none' },
  protection: { kind: 'none' },
  harvest: true,
};

describe('who calls himself an NF', () => {
  const children: ChildProcess[] = [];
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync('/var/tmp/nemo-impostor-');
  });
  afterEach(async () => {
    for (const child of children.splice(0)) await endProcess(child);
    rmSync(folder, { recursive: true });
  });

  /** A process with NAME as its first argument, until it is ended. */
  const run = async (command: string, args: string[], uid = 0, name = NAME): Promise<number> => {
    const child = spawn(command, args, { argv0: name, uid, stdio: ['pipe', 'pipe', 'ignore'] });
    children.push(child);
    await once(child, 'spawn');
    await until(() => processArgs(child.pid!)[0] === name);
    return child.pid!;
  };
  const found = (options: { users?: number[] } = {}, explicit: ExplicitNf[] = []) => {
    const refused: string[] = [];
    const onRefused = (sentence: string) => refused.push(sentence);
    const pids = discover([PROFILE], explicit, { ...options, onRefused }).map(({ pid }) => pid);
    return { pids, refused: refused.join('\n') };
  };

  it('a function that has another name at each look is looked at once', async () => {
    const driver = openCgroupDriver({ rootName: NAME, idle: false });
    const group = driver.create('sb-1', {});
    // Each line that it reads becomes its name.
    const renames =
      'import sys, ctypes\nfor name in sys.stdin: ctypes.CDLL(None).prctl(15, name.strip().encode(), 0, 0, 0)';
    const child = startIn(group, ['python3', '-u', '-c', renames]);
    const ended = once(child, 'exit');
    let asked = 0;
    const agents = new (class extends Set<string> {
      override has(name: string): boolean {
        if (name === NAME) asked++;
        return super.has(name);
      }
    })([NAME]);
    const profile = { ...PROFILE, match: { process: `^${NAME.slice(0, 8)}` } };
    const discovery = new Discovery([profile], [], { agents: () => agents });
    const rename = async (to: string) => {
      child.stdin!.write(`${to}\n`);
      await until(() => processStat(child.pid!)?.name === to);
      discovery.scan();
    };
    try {
      await rename(`${NAME.slice(0, 8)}-a`);
      const first = asked;
      expect(first).to.be.greaterThan(0);
      for (const letter of 'bcdefgh') await rename(`${NAME.slice(0, 8)}-${letter}`);
      expect(asked).to.equal(first);
    } finally {
      child.stdin!.end();
      await ended;
      await driver.removeAll();
    }
  });

  it('processes that take long to be looked at are looked at less often: the thread has other work', async () => {
    const looks: Array<{ fromMs: number; tookMs: number }> = [];
    // Asked once a look, and as slow as thousands of processes.
    const agents = () => {
      looks.push({ fromMs: performance.now(), tookMs: 0 });
      for (const look of looks.slice(-1))
        while (look.tookMs < 20) look.tookMs = performance.now() - look.fromMs;
      return new Set<string>();
    };
    const watcher = new NfWatcher(
      new Discovery([PROFILE], [], { agents }),
      () => undefined,
      () => undefined,
    );
    watcher.start(1);
    await until(() => looks.length === 3);
    watcher.stop();
    for (const [i, { fromMs }] of looks.slice(1).entries()) {
      const before = looks[i]!;
      expect(fromMs - before.fromMs - before.tookMs).to.be.at.least(before.tookMs * DISCOVERY.restTimes - 1);
    }
  });

  for (const [who, why] of [
    ['a function', { kind: 'sandbox' }],
    ['a user', { kind: 'user', uid: NOBODY }],
    ['root of a user namespace', { kind: 'namespace' }],
  ] as const) {
    it(`the arguments of ${who} are not read: that waits for a lock on its memory, which it may hold for seconds`, () => {
      const candidate: Candidate = {
        ...{ pid: 7, startTicks: 1, name: NAME, exe: () => NAME, threadNames: () => [] },
        args: () => expect.fail('they were read'),
        distrust: () => why,
      };
      const verdict = (match: NfProfile['match']) =>
        judge(compileRules([{ ...PROFILE, match }], [], true, () => 1)[0]!, candidate);
      expect(verdict({ process: `^${NAME}$`, args: NAME })).to.equal(why);
      expect(verdict({ args: NAME })).to.equal(who === 'a function' ? why : 'no');
    });
  }

  it('no profile that comes with NEMO goes by arguments alone, for which each process of root’s would be asked', () => {
    const alone = loadProfiles([BUILTIN_PROFILES]).filter(({ match }) => match.args && !match.process);
    expect(alone).to.deep.equal([]);
  });

  it('root is believed, a user is not, unless the configuration trusts him', async () => {
    const ofRoot = await run('/bin/sleep', ['60']);
    const ofNobody = await run('/bin/sleep', ['60'], NOBODY);
    const { pids, refused } = found();
    expect(pids).to.deep.equal([ofRoot]);
    expect(refused).to.match(new RegExp(`process ${ofNobody} looks like probe, but user ${NOBODY} runs it`));
    expect(found({ users: [NOBODY] }).pids).to.have.members([ofRoot, ofNobody]);
    expect(found({}, [{ profile: 'probe', pid: ofNobody }]).pids).to.have.members([ofRoot, ofNobody]);
  });

  it('a user who starts a program with root’s rights does not speak for root', async function () {
    if ((statSync('/bin/su', { throwIfNoEntry: false })?.mode ?? 0) % 0o10000 < 0o4000) this.skip();
    const child = spawn('/bin/su', ['root'], { argv0: NAME, uid: NOBODY, stdio: ['pipe', 'ignore', 'pipe'] });
    children.push(child);
    // It asks for a password and waits: now it runs as root, in the name of a user.
    await once(child.stderr!, 'data');
    const facts = readProcessFacts(child.pid!, startTicks(child.pid!)!, new Set())!;
    expect(facts.uids.slice(0, 2)).to.deep.equal([NOBODY, 0]);
    expect(processArgs(child.pid!)[0]).to.equal(NAME);
    const { pids, refused } = found();
    expect(pids).to.deep.equal([]);
    expect(refused).to.include(`user ${NOBODY} runs it`);
  });

  for (const [how, prepare] of [
    ['belongs to a user', (file: string) => chownSync(file, NOBODY, 0)],
    ['lies in a folder of a user', (file: string) => chownSync(join(file, '..'), NOBODY, 0)],
  ] as const) {
    it(`what root runs is not believed where the program ${how}, until the operator names its pid`, async () => {
      mkdirSync(join(folder, 'bin'), { mode: 0o755 });
      const file = join(folder, 'bin', 'program');
      copyFileSync('/bin/sleep', file);
      prepare(file);
      const pid = await run(file, ['60']);
      const { pids, refused } = found();
      expect(pids).to.deep.equal([]);
      expect(refused).to.match(new RegExp(`process ${pid} .*${folder}/bin.* belongs to user ${NOBODY}.*nfs`));
      expect(found({}, [{ profile: 'probe', pid }]).pids).to.deep.equal([pid]);
    });
  }

  it('root in a user namespace of its own is nobody’s root', async () => {
    const become = `exec { '/bin/sleep' } '${NAME}', '60'`;
    const args = ['--user', '--map-root-user', 'perl', '-e', become];
    const child = spawn('unshare', args, { stdio: 'ignore' });
    children.push(child);
    await until(() => processArgs(child.pid!)[0] === NAME);
    const { pids, refused } = found();
    expect(pids).to.deep.equal([]);
    expect(refused).to.match(new RegExp(`process ${child.pid} .*lives in a user namespace of its own`));
    expect(found({}, [{ profile: 'probe', pid: child.pid! }]).pids).to.deep.equal([child.pid]);
  });

  it('a worker that root’s master forked is the master’s; what it executes is not', async () => {
    // $0 is what `ps` shows; the second child runs the same program, but as a program of its own.
    const script = `
      $0 = 'master'; $| = 1; my @pids;
      for my $executes (0, 1) {
        my $pid = fork;
        if ($pid == 0) {
          $( = $) = "${NOBODY} ${NOBODY}"; $< = $> = ${NOBODY};
          exec { '/usr/bin/perl' } '${NAME}', '-e', 'sleep 60' if $executes;
          $0 = '${NAME}'; sleep 60; exit;
        }
        push @pids, $pid;
      }
      print "@pids\\n"; <STDIN>; kill 'KILL', @pids;`;
    const child = spawn('/usr/bin/perl', ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    const [line] = await once(child.stdout!, 'data');
    const [forked, executed] = String(line).trim().split(' ').map(Number) as [number, number];
    try {
      await until(() => [forked, executed].every((pid) => processArgs(pid)[0]?.trimEnd() === NAME));
      const { pids, refused } = found();
      expect(pids).to.deep.equal([forked]);
      expect(refused).to.include(`process ${executed} looks like probe`);
    } finally {
      for (const pid of [forked, executed]) process.kill(pid, 'SIGKILL');
    }
  });

  it('a pid of the configuration is the process that it named, not the next one of that number', async () => {
    const nobodys = { ...PROFILE, match: { process: '^no-such-program$' } };
    for (let attempt = 0; ; attempt++) {
      const pid = await run('/bin/sleep', ['60']);
      const discovery = new Discovery([nobodys], [{ profile: 'probe', pid }]);
      expect(discovery.scan().map((nf) => nf.pid)).to.deep.equal([pid]);
      await endProcess(children.pop()!);
      // The kernel counts on from here.
      writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
      const next = await run('/bin/sleep', ['60'], NOBODY);
      // Others start processes, too.
      if (next !== pid && attempt < 50) continue;
      expect(next).to.equal(pid);
      expect(discovery.scan()).to.deep.equal([]);
      expect(discovery.ended.splice(0)).to.deep.equal([
        `nfs: the entry for probe with pid ${pid} holds no more: its process has ended`,
      ]);
      expect(discovery.scan()).to.deep.equal([]);
      expect(discovery.ended).to.deep.equal([]);
      return;
    }
  });

  it('`nemo nf scan` proposes no profile for a user’s program', async () => {
    const pin = async (uid: number): Promise<number> => {
      const args = ['-c', '0', 'perl', '-e', packetSocket(uid), NAME];
      const child = spawn('taskset', args, { stdio: ['pipe', 'pipe', 'inherit'] });
      children.push(child);
      await once(child.stdout!, 'data');
      return child.pid!;
    };
    const pids = [await pin(0), await pin(NOBODY)];
    const proposed = (await scanForNfs(new Set())).map(({ pid }) => pid);
    expect(pids.map((pid) => proposed.includes(pid))).to.deep.equal([true, false]);
  });
});

/** Opens a packet socket as root, goes on as the user, says so and waits. */
const packetSocket = (uid: number): string =>
  `$| = 1; socket(my $s, 17, 3, 0) or die; $< = $> = ${uid}; print "there\\n"; sleep 60`;
