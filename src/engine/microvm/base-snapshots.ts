/**
 * The snapshots that functions start from: one for each size of memory. Fetches and makes what they need on first use:
 * the kernel, the guest's image, and then, by booting once, the snapshot. Decides between KVM and emulation.
 */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Slots } from '../../confinement/confined/slots.js';
import type { SetApart } from '../../confinement/start-apart.js';
import { run } from '../../host/packages.js';
import type { Cgroup, CgroupDriver } from '../../linux/cgroup/driver.js';
import { asNemoError, NemoError } from '../../model/errors.js';
import { VERSION } from '../../model/version.js';
import type { SnapshotManager } from '../../snapshots/manager.js';
import type { OpenSnapshot } from '../../snapshots/snapshot.js';
import type { MadeBy } from '../../snapshots/snapshot-files.js';
import { MICROVM, SNAPSHOT } from '../../tunables/index.js';
import { untilReady } from './boot.js';
import { buildGuestImage, type GuestImage } from './guest-image.js';
import { fetchKernel, type Kernel, kernelOf } from './kernel.js';
import type { Accelerator, MachineFiles, MachineRuntime } from './machine.js';
import { makeSnapshot } from './make-snapshot.js';

export interface BaseSnapshotsOptions {
  /** Kernel and image; kept. */
  stateDir: string;
  runDir: string;
  runtime: () => MachineRuntime;
  snapshots: SnapshotManager;
  driver: CgroupDriver;
  /** Where machines boot: not beside an NF. */
  cores: readonly number[];
  accelerator: Accelerator | 'auto';
  /** Default: Debian's, which is fetched. */
  kernel: string | undefined;
  uid: number;
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
  onNote: (line: string) => void;
}

export interface BaseSnapshot {
  key: string;
  memoryMb: number;
  heapMb: number;
  accelerator: Accelerator;
  /** What a machine that goes on from it has to have in common with it. */
  madeBy: MadeBy;
  files: Omit<MachineFiles, 'memoryFd' | 'devicesFd'>;
}

const KVM = '/dev/kvm';
const VERDICT = 'kvm.json';

export class BaseSnapshots {
  private prepared: Promise<{ kernel: Kernel; image: GuestImage; qemu: string }> | undefined;
  private trial: Promise<void> | undefined;
  private boots = 0;
  private booting: Cgroup | undefined;
  private closed = false;
  private readonly turns = new Slots(MICROVM.boots, MICROVM.bootsWaiting, 'boots of virtual machines');

  constructor(private readonly options: BaseSnapshotsOptions) {}

  /** The snapshot for functions of so many MB, made if it is not there. Throws MISSING_PACKAGE, SANDBOX_START. */
  async open(heapMb: number): Promise<BaseSnapshot & { snapshot: OpenSnapshot }> {
    const stem = await this.ensure(heapMb);
    return { ...stem, snapshot: this.options.snapshots.open(stem.key) };
  }

  /** What the snapshot is like, whether it is there or not. */
  async look(heapMb: number): Promise<BaseSnapshot> {
    const { kernel, image, qemu } = await this.prepare();
    const accelerator = await this.accelerator();
    const memoryMb = heapMb + MICROVM.guestMb;
    const key = `stem-${heapMb}`;
    const madeBy = {
      ...{ version: VERSION, QEMU: qemu, kernel: basename(kernel.image), 'guest image': image.hash },
      ...{ memory: memoryMb, accelerator },
    };
    const files = { kernel: kernel.image, initrd: image.initrd, root: image.root };
    return { key, memoryMb, heapMb, accelerator, madeBy, files };
  }

  async ensure(heapMb: number): Promise<BaseSnapshot> {
    const stem = await this.look(heapMb);
    const { key, madeBy, memoryMb, accelerator } = stem;
    const mostBytes = memoryMb * 2 ** 20;
    await this.options.snapshots.ensure(
      key,
      madeBy,
      Math.min(mostBytes, SNAPSHOT.bootedBytes),
      (directory) =>
        this.turns.hold(async () => {
          if (this.closed) throw new NemoError('STOPPING', 'the agent is stopping');
          this.options.onNote(
            `booting a virtual machine of ${memoryMb} MB (${accelerator}) for a snapshot ...`,
          );
          const bootMs = await this.bootPatiently(stem, directory);
          this.options.onNote(`the snapshot ${key} is ready: its boot took ${(bootMs / 1_000).toFixed(1)} s`);
          return bootMs;
        }),
      mostBytes,
    );
    return stem;
  }

  /** Nobody waits for a boot any more. */
  async close(): Promise<void> {
    this.closed = true;
    await this.booting?.kill().catch(() => {});
  }

  /** In words, as far as it is known: `nemo engines` boots nothing. */
  describe(): string {
    const verdict = this.verdict();
    if (verdict === undefined) return 'the first deploy finds out whether guests run with KVM, else emulates';
    return verdict.accelerator === 'kvm' ? 'runs with KVM' : `runs emulated (TCG): ${verdict.why}`;
  }

  /** KVM where a guest gets as far as its own program under it, else emulation. Tried once a boot of the host. */
  private async accelerator(): Promise<Accelerator> {
    if (this.verdict() === undefined) {
      this.trial ??= this.tryKvm().finally(() => {
        this.trial = undefined;
      });
      await this.trial;
    }
    return this.verdict()!.accelerator;
  }

  private verdict(): { accelerator: Accelerator; why: string } | undefined {
    const { accelerator, stateDir } = this.options;
    if (accelerator !== 'auto') return { accelerator, why: 'as configured' };
    if (!existsSync(KVM)) return { accelerator: 'tcg', why: `there is no ${KVM}` };
    const known = readVerdict(join(stateDir, VERDICT));
    if (known === undefined) return undefined;
    return { accelerator: known.trouble === undefined ? 'kvm' : 'tcg', why: `with KVM ${known.trouble}` };
  }

  private async tryKvm(): Promise<void> {
    const { kernel, image } = await this.prepare();
    const { stateDir, onNote } = this.options;
    const directory = join(stateDir, 'kvm-trial');
    const files = { kernel: kernel.image, initrd: image.initrd, root: image.root };
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    let trouble: string | undefined;
    try {
      const spec = { accelerator: 'kvm', memoryMb: 256, heapMb: 128 } as const;
      await this.boot({ ...spec, files }, directory, MICROVM.kvmTrialMs);
    } catch (thrown) {
      trouble = asNemoError(thrown).message.split('\n').slice(0, 2).join(' ');
      onNote(`virtual machines are emulated, which is slow: with KVM ${trouble}`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
    writeFileSync(join(stateDir, VERDICT), JSON.stringify({ bootId: bootId(), trouble }));
  }

  private async bootPatiently(stem: BaseSnapshot, directory: string): Promise<number> {
    for (let boots = 1; ; boots++) {
      try {
        return await this.boot(stem, directory, MICROVM.initTimeoutMs);
      } catch (thrown) {
        const error = asNemoError(thrown);
        if (error.details?.hung !== true || this.closed || boots >= MICROVM.bootsMax) throw error;
        this.options.onNote(`the boot hung and is tried again: ${error.message.split('\n', 1)[0]}`);
      }
    }
  }

  private boot(
    stem: Omit<BaseSnapshot, 'key' | 'madeBy'>,
    directory: string,
    initTimeoutMs: number,
  ): Promise<number> {
    const { driver, cores, runDir, uid, runtime, setApart } = this.options;
    const name = `microvm-boot-${++this.boots}`;
    const memoryMaxBytes = stem.memoryMb * 2 ** 20 + 2 * MICROVM.hostBytes;
    const cgroup = driver.create(name, { memoryMaxBytes, pidsMax: 64, cpus: cores });
    this.booting = cgroup;
    return makeSnapshot(
      {
        ...{ spec: stem, files: stem.files, directory, uid, cgroup, scheduling: 'default' },
        ...{ runDirectory: join(runDir, name), runtime: runtime(), setApart },
      },
      (child) => untilReady(child, { timeoutMs: MICROVM.bootTimeoutMs, initTimeoutMs }),
    );
  }

  /** Once: kernel and image. */
  private prepare(): Promise<{ kernel: Kernel; image: GuestImage; qemu: string }> {
    this.prepared ??= this.doPrepare();
    this.prepared.catch(() => {
      this.prepared = undefined;
    });
    return this.prepared;
  }

  private async doPrepare(): Promise<{ kernel: Kernel; image: GuestImage; qemu: string }> {
    const { kernel: named, stateDir, onNote } = this.options;
    if (named !== undefined && !existsSync(named)) {
      throw new NemoError('SANDBOX_START', `there is no kernel ${named}`, {
        hint: 'correct microvm.kernel, or leave it out',
      });
    }
    const kernel =
      named === undefined ? await fetchKernel(join(stateDir, 'kernel'), onNote) : kernelOf(named);
    const image = await buildGuestImage(join(stateDir, 'image'), kernel);
    const { output } = await run('qemu-system-x86_64', ['--version']);
    return { kernel, image, qemu: output.split('\n', 1)[0]! };
  }
}

/** Of this boot of the host. */
function readVerdict(path: string): { trouble?: string } | undefined {
  try {
    const verdict = JSON.parse(readFileSync(path, 'utf8')) as { bootId: string; trouble?: string };
    return verdict.bootId === bootId() ? verdict : undefined;
  } catch {
    return undefined;
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
