/**
 * What a process may be on Linux, and how an agent may be started: each line starts one so, calls a function, ends it, and
 * nothing is left. Pids that are used again: test/escape/nf-identity.test.ts. (credentials(7), cpuset(7),
 * sched_setaffinity(2), getrlimit(2), pid_namespaces(7), environ(7), umask(2), ipv6(7).)
 */

import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { UserConfig } from '../../src/config/config-schema.js';
import { createNamespace } from '../../src/linux/netns.js';
import { endProcess, spawnTied } from '../../src/linux/tied-process.js';
import { guardianDone } from '../../src/nf/guardian.js';
import { freePort } from '../store/redis-server.js';
import { groupsNamed, locksOf } from '../support/leftovers.js';
import { CLI } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

const CPUSET = '/sys/fs/cgroup/cpuset';
/** What it sees of its surroundings. */
const CODE = `export default () => ({ cwd: process.cwd(), zone: process.env.TZ ?? null });`;

interface Row {
  what: string;
  /** A shell script that ends up as the agent. */
  as: string;
  /** The agent is the only child of what this starts. */
  inner?: boolean;
  config?: UserConfig;
  /** Makes what it needs; returns what undoes it, or false where this host cannot. */
  prepare?: () => (() => void) | false;
  expect?: (agent: Started) => unknown;
}

type Ask = (path: string, body?: string) => Promise<string>;
type Spawn = (command: string, args: string[], options: SpawnOptions) => ChildProcess;

interface Started {
  folder: string;
  cores: number[];
}

const own = `nemo-own-${process.pid}`;

const ROWS: Row[] = [
  {
    what: 'sched_setaffinity(2): by taskset on one core, it chooses that one',
    as: 'exec taskset -c 0 "$@"',
    expect: ({ cores }) => expect(cores).to.deep.equal([0]),
  },
  {
    what: 'sched_setaffinity(2): a core that is named is used all the same',
    as: 'exec taskset -c 0 "$@"',
    config: { cores: { housekeeping: [0], functions: [1] } },
    expect: ({ cores }) => expect(cores).to.deep.equal([0, 1]),
  },
  {
    what: 'cpuset(7): in a cpuset of somebody’s own, it chooses among its cores',
    prepare: () => makeCpuset(own, 1),
    as: `echo $$ > ${CPUSET}/${own}/cgroup.procs; exec "$@"`,
    expect: ({ cores }) => expect(cores).to.deep.equal([1]),
  },
  {
    what: 'getrlimit(2), environ(7), umask(2): few descriptors, no environment but PATH, a mask of 077, in a directory that is gone',
    as: `mkdir -p /tmp/${own} && cd /tmp/${own} && rmdir /tmp/${own} && ulimit -n 256 && umask 077 && exec env -i PATH="$PATH" "$@"`,
    expect: ({ folder }) => expect(statSync(join(folder, 'state')).mode & 0o777).to.equal(0o750),
  },
  {
    what: 'umask(2), locale(7), tzset(3), stdin(3): a mask of 000, another locale and zone, all three closed, in /proc',
    as: 'cd /proc && umask 000 && LC_ALL=tr_TR.UTF-8 TZ=Pacific/Kiritimati exec "$@" <&- >&- 2>&-',
    expect: ({ folder }) => expect(statSync(join(folder, 'run')).mode & 0o022).to.equal(0),
  },
  {
    what: 'pid_namespaces(7): the first process of a container',
    as: 'exec unshare --pid --fork --mount-proc --kill-child "$@"',
    inner: true,
  },
];

function makeCpuset(name: string, core: number): (() => void) | false {
  const directory = join(CPUSET, name);
  if (!existsSync(join(CPUSET, 'cpuset.cpus'))) return false;
  mkdirSync(directory);
  writeFileSync(join(directory, 'cpuset.mems'), '0');
  writeFileSync(join(directory, 'cpuset.cpus'), String(core));
  return () => rmdirSync(directory);
}

class Agent {
  readonly folder = mkdtempSync('/var/tmp/nemo-process-');
  readonly name = `nemo-process-${process.pid}-${this.folder.slice(-6)}`;
  private child: ChildProcess | undefined;
  private err = '';
  private inner = false;

  constructor() {
    chmodSync(this.folder, 0o755);
  }

  /** Resolves when it answers to `ask`, a request from where it is. */
  async start(row: Pick<Row, 'as' | 'config' | 'inner'>, ask: Ask, spawn: Spawn = spawnTied): Promise<void> {
    const { folder, name } = this;
    const file = join(folder, 'nemo.yaml');
    const dirs = { stateDir: join(folder, 'state'), runDir: join(folder, 'run') };
    // At SCHED_IDLE a call would wait for whoever else uses the machine.
    const config = { name, ...dirs, discovery: false, policy: 'naive', ...row.config };
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    const command = ['-c', row.as, 'sh', process.execPath, CLI, 'up', '--json', '--config', file];
    const child = spawn('/bin/sh', command, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    this.inner = row.inner === true;
    child.stderr!.on('data', (text) => (this.err += text));
    let over: string | undefined;
    child.once('exit', (code) => {
      over = `the agent ended with ${code}: ${this.err}`;
    });
    const answers = () =>
      ask('/v1/status')
        .then(() => true)
        .catch(() => false);
    await until(() => {
      if (over !== undefined) throw new Error(over);
      return answers();
    });
  }

  /** Resolves with its exit code. */
  async end(): Promise<number | null> {
    const { child } = this;
    if (child?.pid === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'exit');
    // What waits for it beside it in its own namespace heeds no signal.
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
    process.kill(this.inner ? Number(children) : child.pid, 'SIGTERM');
    const [code] = await ended;
    await guardianDone(child.pid);
    return code;
  }
}

/** Deploys a function, calls it, ends the agent, and looks for what is left. */
async function use(agent: Agent, ask: Ask, more: (started: Started) => unknown): Promise<void> {
  await ask('/v1/functions/seen', JSON.stringify({ code: CODE }));
  expect(JSON.parse(await ask('/function/seen'))).to.have.property('cwd');
  const { cores } = JSON.parse(await ask('/v1/status')) as { cores: Array<{ core: number }> };
  await more({ folder: agent.folder, cores: cores.map(({ core }) => core) });
  expect(await agent.end()).to.equal(0);
  expect([...groupsNamed(agent.name), ...locksOf(agent.name)]).to.deep.equal([]);
}

describe('conformance: what a process may be', function () {
  this.timeout(60_000);
  for (const row of ROWS) {
    it(row.what, async function () {
      const undo = row.prepare?.();
      if (undo === false) return this.skip();
      const agent = new Agent();
      const port = await freePort();
      const ask: Ask = async (path, body) => {
        const headers = { 'content-type': 'application/json' };
        const answer = await fetch(
          `http://127.0.0.1:${port}${path}`,
          body === undefined ? {} : { method: 'PUT', body, headers },
        );
        const text = await answer.text();
        expect(answer.ok, text).to.equal(true);
        return text;
      };
      try {
        await agent.start({ ...row, config: { http: { port }, ...row.config } }, ask);
        await use(agent, ask, (started) => row.expect?.(started));
      } finally {
        await agent.end();
        undo?.();
        rmSync(agent.folder, { recursive: true, force: true });
      }
    });
  }

  it('ipv6(7): a host without IPv4, its Redis at ::1 as store and as queue', async () => {
    const namespace = await createNamespace();
    const agent = new Agent();
    let redis: ChildProcess | undefined;
    const ask: Ask = (path, body) => {
      const put = body === undefined ? [] : ['-X', 'PUT', '-H', 'content-type: application/json', '-d', body];
      return namespace.run('curl', ['-sS', '-g', '--fail-with-body', ...put, `http://[::1]:8080${path}`]);
    };
    const tell = (...args: string[]) => namespace.run('redis-cli', ['-h', '::1', ...args]);
    try {
      await namespace.run('sh', [
        '-c',
        'echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up; ip address del 127.0.0.1/8 dev lo',
      ]);
      const options = ['--bind', '::1', '--save', '', '--dir', agent.folder];
      redis = namespace.spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise<void>((resolve, reject) => {
        redis!.stdout!.on('data', (text) => String(text).includes('Ready to accept') && resolve());
        redis!.once('exit', () => reject(new Error('redis-server ended at its start')));
      });
      const url = 'redis://[::1]:6379';
      const config: UserConfig = {
        http: { host: '::1', port: 8080 },
        store: { kind: 'redis', url },
        queues: [{ url, stream: 'jobs', function: 'seen', replies: 'answers' }],
      };
      await agent.start({ as: 'exec "$@"', config }, ask, (...args) => namespace.spawn(...args));
      await use(agent, ask, async () => {
        await tell('XADD', 'jobs', '*', 'body', 'x');
        expect(await tell('XREAD', 'BLOCK', '20000', 'STREAMS', 'answers', '0')).to.include('200');
        expect(await tell('HKEYS', 'nemo:functions')).to.include('seen');
      });
    } finally {
      await agent.end();
      if (redis !== undefined) await endProcess(redis);
      await namespace.close();
      rmSync(agent.folder, { recursive: true, force: true });
    }
  });
});
