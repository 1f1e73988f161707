/**
 * Each step of the agent's start made to fail, by what goes wrong with real hosts: the error names the thing, and nothing that
 * the steps before it took is left: groups, locks, files, mounts, processes, descriptors, cores, mask.
 */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { startAgent } from '../../src/agent/agent.js';
import { resolveConfig } from '../../src/config/config.js';
import type { UserConfig } from '../../src/config/config-schema.js';
import { AGENTS_FOLDER, lockAgent } from '../../src/guard/agent-lock.js';
import type { NemoError } from '../../src/model/errors.js';
import { groupsNamed, locksOf, ownState, usersOf } from '../support/leftovers.js';
import { CLI } from '../support/real-agent.js';

const V1_CPUSET = '/sys/fs/cgroup/cpuset';

interface Place {
  name: string;
  folder: string;
  stateDir: string;
  runDir: string;
}

interface Fault {
  step: string;
  /** May return what undoes it. */
  make: (place: Place) => (() => unknown) | undefined | 'impossible';
  config?: (place: Place) => UserConfig;
  /** What the error says. */
  says: RegExp;
}

let busyPort = 0;
/** The folder is there, with `content` in it. */
const withState = (place: Place, file: string, content: string): void => {
  mkdirSync(join(place.stateDir, file, '..'), { recursive: true, mode: 0o750 });
  writeFileSync(join(place.stateDir, file), content, { mode: 0o600 });
};

const FAULTS: Fault[] = [
  {
    step: 'the lock of its name is held',
    make: ({ name }) => {
      const lock = lockAgent(name);
      return () => lock.release();
    },
    says: /AGENT_RUNNING.*already runs/,
  },
  {
    step: 'others may write where locks are',
    make: () => {
      chmodSync(AGENTS_FOLDER, 0o777);
      return () => chmodSync(AGENTS_FOLDER, 0o700);
    },
    says: /UNSUPPORTED.*locks cannot be kept/,
  },
  {
    step: 'stateDir is on a file system that cannot be written',
    make: () => undefined,
    config: () => ({ stateDir: '/proc/nemo-state' }),
    says: /BAD_CONFIG.*stateDir \/proc\/nemo-state cannot be made/,
  },
  {
    step: 'stateDir is a link',
    make: ({ stateDir, folder }) => void symlinkSync(folder, stateDir),
    says: /BAD_CONFIG.*stateDir/,
  },
  {
    step: 'runDir is a file',
    make: ({ runDir }) => void writeFileSync(runDir, ''),
    says: /BAD_CONFIG.*runDir/,
  },
  {
    step: 'its cores are not there',
    make: () => undefined,
    config: () => ({ cores: { housekeeping: [0], functions: [999] } }),
    says: /NO_SUCH_CORE.*core 999/,
  },
  {
    step: 'a core belongs to a cpuset of somebody else',
    make: ({ name }) => takeCore(`${name}-other`, 1) ?? 'impossible',
    config: () => ({ cores: { housekeeping: [0], functions: [1] } }),
    says: /NO_SUCH_CORE.*cores\.functions: core 1 cannot be used: the cpuset \/\S+-other has cores 1 for itself alone/,
  },
  {
    step: 'the claim of its groups cannot be written',
    make: ({ runDir }) => {
      mkdirSync(join(runDir, 'agent.pid'), { recursive: true, mode: 0o751 });
      writeFileSync(join(runDir, 'agent.pid', 'x'), '');
    },
    says: /BAD_CONFIG.*agent\.pid/,
  },
  {
    step: 'the journal of NFs is damaged',
    make: (place) => void withState(place, 'protected.json', '{ "agent": '),
    says: /STORE.*protected\.json/,
  },
  {
    step: 'the shell of the guardian, and the sandboxes’ program, are not in PATH',
    make: ({ folder }) => {
      const { PATH } = process.env;
      process.env.PATH = folder;
      return () => {
        process.env.PATH = PATH;
      };
    },
    says: /MISSING_PACKAGE/,
  },
  {
    step: 'the store is a file',
    make: (place) => void withState(place, 'store', ''),
    says: /STORE/,
  },
  {
    step: 'the store’s Redis is away',
    make: () => undefined,
    config: () => ({ store: { kind: 'redis', url: 'redis://127.0.0.1:1' } }),
    says: /STORE.*127\.0\.0\.1:1/,
  },
  {
    step: 'a profile is wrong',
    make: ({ folder }) => {
      mkdirSync(join(folder, 'profiles'));
      writeFileSync(join(folder, 'profiles', 'bad.yaml'), 'name: bad\nmode: sleepy\n');
    },
    config: ({ folder }) => ({ discovery: true, profileDirs: [join(folder, 'profiles')] }),
    says: /BAD_PROFILE.*bad\.yaml/,
  },
  {
    step: 'the journal of what NFs were asked to do cannot be read',
    make: ({ stateDir }) => void mkdirSync(join(stateDir, 'settings.json'), { recursive: true, mode: 0o750 }),
    says: /STORE.*settings\.json/,
  },
  {
    step: 'its port is busy',
    make: () => undefined,
    config: () => ({ http: { port: busyPort } }),
    says: /PORT_IN_USE/,
  },
  {
    step: 'the port of functions is busy',
    make: () => undefined,
    config: () => ({ http: { functionsPort: busyPort } }),
    says: /PORT_IN_USE/,
  },
];

/** Undefined where it cannot be had: other groups have it, or this host has no v1 cpusets. */
function takeCore(group: string, core: number): (() => void) | undefined {
  const directory = join(V1_CPUSET, group);
  if (!existsSync(join(V1_CPUSET, 'cpuset.cpu_exclusive'))) return undefined;
  mkdirSync(directory);
  try {
    writeFileSync(join(directory, 'cpuset.cpus'), String(core));
    writeFileSync(join(directory, 'cpuset.cpu_exclusive'), '1');
    return () => rmdirSync(directory);
  } catch {
    rmdirSync(directory);
    return undefined;
  }
}

describe('an agent that cannot start leaves nothing', () => {
  const server: Server = createServer();
  let place: Place;
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    busyPort = (server.address() as AddressInfo).port;
    // What the process has after its first start it keeps: libraries that were loaded, for example.
    await failedStart({ http: { port: busyPort } }, newPlace('first'));
  });
  after(() => void server.close());
  beforeEach(() => {
    place = newPlace('agent');
  });
  afterEach(() => rmSync(place.folder, { recursive: true, force: true }));

  for (const { step, make, config, says } of FAULTS) {
    it(`when ${step}`, async function () {
      const own = ownState();
      const undo = make(place);
      if (undo === 'impossible') return this.skip();
      const files = filesIn(place.folder);
      try {
        const told = await failedStart(config?.(place) ?? {}, place);
        expect(told).to.match(says);
      } finally {
        await undo?.();
      }
      expect(ownState()).to.deep.equal(own);
      expect(groupsNamed(place.name)).to.deep.equal([]);
      expect(locksOf(place.name)).to.deep.equal([]);
      expect(usersOf(place.folder)).to.deep.equal([]);
      expect(filesIn(place.folder)).to.deep.equal(files);
    });
  }

  for (const [what, script, says] of [
    ['a hierarchy is read-only', 'mount -o remount,bind,ro /sys/fs/cgroup/pids', /cgroup\/pids\/.*EROFS/],
    ['a controller is missing', 'umount /sys/fs/cgroup/cpuacct', /cpuacct cgroup controller is not mounted/],
  ] as const) {
    it(`when ${what}`, async function () {
      if (!existsSync('/sys/fs/cgroup/cpuacct/cpuacct.usage')) return this.skip();
      const { name, stateDir, runDir } = place;
      const file = join(place.folder, 'nemo.yaml');
      writeFileSync(file, JSON.stringify({ name, stateDir, runDir, discovery: false, http: { port: 0 } }));
      const command = `${script} && exec '${process.execPath}' '${CLI}' up --config '${file}'`;
      const { status, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', command], { encoding: 'utf8' });
      expect(status, stderr).to.be.oneOf([1, 2]);
      expect(stderr).to.match(says);
      expect(groupsNamed(name)).to.deep.equal([]);
      expect(locksOf(name)).to.deep.equal([]);
      expect(readdirSync(place.folder)).to.deep.equal(['nemo.yaml']);
    });
  }
});

function newPlace(what: string): Place {
  const folder = mkdtempSync('/var/tmp/nemo-failed-');
  // Sandboxes run as users of their own and must be able to pass through.
  chmodSync(folder, 0o755);
  const name = `nemo-${what}-${process.pid}`;
  return { name, folder, stateDir: join(folder, 'state'), runDir: join(folder, 'run') };
}

async function failedStart(config: UserConfig, { name, stateDir, runDir }: Place): Promise<string> {
  try {
    const http = { port: 0, ...config.http };
    const agent = await startAgent(
      resolveConfig({ name, stateDir, runDir, discovery: false, ...config, http }),
    );
    await agent.stop();
    return 'it started';
  } catch (thrown) {
    const { code, message } = thrown as NemoError;
    return `${code} ${message}`;
  }
}

/** But for the store and the journal's folder, which are state: they stay once they are there. */
function filesIn(folder: string): string[] {
  return (readdirSync(folder, { recursive: true }) as string[])
    .filter((path) => !/^state(\/|$)/.test(path))
    .sort();
}
