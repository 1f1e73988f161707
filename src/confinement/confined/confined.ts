/**
 * Work on strangers' bytes that is not done in the agent: bundling, unpacking, compiling. Each piece of it runs in a
 * process of its own that sees no file of the host but its program, has no network, an unprivileged user of its own, and
 * a cgroup on the housekeeping cores that bounds its memory; time and output are bounded here.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Cgroup, CgroupDriver } from '../../linux/cgroup/driver.js';
import type { Asker } from '../../model/asker.js';
import { NemoError } from '../../model/errors.js';
import { CONFINED } from '../../tunables/index.js';
import { emptyOpenDirectory, makeOpenDirectory } from '../runtime.js';
import { UidRange } from '../uids.js';
import { type ConfinedOutcome, runConfined } from './child.js';
import { type ConfinedPlace, confinedCommand } from './command.js';
import { type ConfinedRuntimes, type ProgramName, prepareConfinedRuntimes } from './runtime.js';
import { Slots } from './slots.js';

export interface ConfinedOptions {
  /** Of this alone; what an earlier agent left there is removed. Every user must be able to pass through. */
  directory: string;
  driver: CgroupDriver;
  housekeepingCores: readonly number[];
  /** Of one job. */
  timeoutMs?: number;
}

export interface ConfinedJob {
  program: ProgramName;
  args?: readonly string[];
  input: Buffer;
  outputMaxBytes: number;
  asker?: Asker | undefined;
}

export class Confined {
  private readonly jobs = new Slots(CONFINED.jobs, CONFINED.jobsWaiting, 'deploys');
  private readonly uids = new UidRange(CONFINED.firstUid, CONFINED.uidCount);
  private readonly live = new Map<number, Cgroup>();
  private laidOut: Promise<ConfinedRuntimes> | undefined;
  private count = 0;
  private closed = false;

  constructor(private readonly options: ConfinedOptions) {}

  /** SANDBOX_START if the program could not run here, OVERLOADED if too many wait, CALLER_LEFT. */
  run({ program, args = [], input, outputMaxBytes, asker }: ConfinedJob): Promise<ConfinedOutcome> {
    return this.jobs.hold(
      () =>
        this.within(async (place, group) => {
          const outcome = await runConfined(
            confinedCommand(place, { program, args, cpuMaxSeconds: CONFINED.cpuMaxSeconds }),
            {
              ...{ input, outputMaxBytes, timeoutMs: this.options.timeoutMs ?? CONFINED.timeoutMs },
            },
          );
          if (outcome.kind === 'not-started' && group.oomKills() > 0)
            return { kind: 'ended', why: 'took too much memory' };
          return outcome;
        }),
      asker,
    );
  }

  /** Gives `work` a place for one or more programs, and removes it and whatever runs there when `work` is done. */
  async within<T>(work: (place: ConfinedPlace, group: Cgroup) => Promise<T>): Promise<T> {
    const runtimes = await this.layOut();
    if (this.closed) throw new NemoError('STOPPING', 'the agent is stopping');
    const { driver, housekeepingCores, directory } = this.options;
    const name = `confined-${++this.count}`;
    const uid = this.uids.take(name, this.live);
    const group = driver.create(name, {
      ...{ memoryMaxBytes: CONFINED.memoryMaxBytes, pidsMax: CONFINED.pidsMax, cpus: housekeepingCores },
    });
    this.live.set(uid, group);
    const emptyDirectory = join(directory, name);
    const mountPoint = join(emptyDirectory, 'out');
    try {
      mkdirSync(emptyDirectory);
      makeOpenDirectory(emptyDirectory);
      makeOpenDirectory(mountPoint);
      const { joinPaths } = group;
      return await work({ uid, joinPaths, emptyDirectory, mountPoint, runtimes }, group);
    } finally {
      await group.remove();
      this.live.delete(uid);
      rmSync(emptyDirectory, { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.live.values()].map((group) => group.kill()));
    rmSync(join(this.options.directory, 'runtime'), { recursive: true, force: true });
  }

  private layOut(): Promise<ConfinedRuntimes> {
    this.laidOut ??= (async () => {
      emptyOpenDirectory(this.options.directory);
      return prepareConfinedRuntimes(join(this.options.directory, 'runtime'));
    })();
    // A disk that was full may have room at the next try.
    this.laidOut.catch(() => {
      this.laidOut = undefined;
    });
    return this.laidOut;
  }
}

/**
 * What a program answered. SANDBOX_START where this host cannot run it, OVERLOADED where it got no time; `refuse` makes the
 * error for what is the input's fault.
 */
export function answerOf(outcome: ConfinedOutcome, refuse: (why: string) => NemoError): Buffer {
  if (outcome.kind === 'answered') return outcome.output;
  if (outcome.kind === 'ended') throw refuse(outcome.why);
  if (outcome.kind === 'starved') {
    throw new NemoError(
      'OVERLOADED',
      `other programs kept the housekeeping cores busy: within ${outcome.seconds} s what was sent could not be looked at`,
      { hint: 'try again later, or give the agent more of `cores.housekeeping`' },
    );
  }
  throw new NemoError('SANDBOX_START', `what was sent could not be looked at: ${outcome.why}`, {
    hint: 'run `nemo doctor` to see what this host lacks',
  });
}
