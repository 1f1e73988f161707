/**
 * The `oci` engine: containers of images, made by runc without a daemon. A stem belongs to one deployed image: its
 * container is there, its runtime waits for the function. Layers lie unpacked in the state directory;
 * each container mounts them for itself, so that nothing is left mounted when an agent is killed.
 */

import { chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { chmod, chown, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Confined } from '../../confinement/confined/confined.js';
import { Slots } from '../../confinement/confined/slots.js';
import { makeOpenDirectory, prepareRuntime } from '../../confinement/runtime.js';
import type { SetApart } from '../../confinement/start-apart.js';
import { UidRange } from '../../confinement/uids.js';
import { installLine, missingPackages, run } from '../../host/packages.js';
import { findProgram } from '../../host/programs.js';
import type { StorageQuota } from '../../host/storage-quota.js';
import type { ImportedImage } from '../../images/import.js';
import { importInThread } from '../../images/import-worker.js';
import type { ImageAccess } from '../../images/sources.js';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import { asNemoError, NemoError } from '../../model/errors.js';
import type { ImageRequest } from '../../model/function-source.js';
import type { Engine, LoadOptions, PrepareRequest, Sandbox, StartOptions } from '../../sandbox/engine.js';
import { OCI, SANDBOX } from '../../tunables/index.js';
import { ProcessSandbox } from '../process/sandbox.js';
import { connectInside } from './connect.js';
import { HttpChannel } from './http-channel.js';
import { LaidOutImages } from './laid-out-images.js';
import { launchContainer } from './launch.js';
import { type ImagePlan, planImage } from './plan.js';
import { mountRootfs, unmountBelow } from './rootfs.js';
import { containerSpec } from './spec.js';
import type { StoredLayers } from './stored-layers.js';

export const OCI_ENGINE = 'oci';
const PACKAGES = ['runc', 'busybox-static', 'util-linux'];

export interface OciEngineOptions {
  /** Of this engine alone; what an earlier agent left there is removed. Every user must be able to pass through. */
  directory: string;
  /** Unpacked layers; kept. */
  storeDir: string;
  /** Where artifacts are stored, by the hash that is a stem's variant. */
  bundleDir: string;
  /** Where layers are unpacked. */
  confined: Confined;
  /** What images are taken from. */
  access: ImageAccess;
  /** What the state directory may hold. */
  storage: StorageQuota;
  layers: StoredLayers;
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
}

export class OciEngine implements Engine<'image'> {
  readonly kind = OCI_ENGINE;
  private readonly live = new Map<number, ProcessSandbox>();
  private readonly images: LaidOutImages;
  private laidOut: Promise<string> | undefined;
  private readonly uids = new UidRange(OCI.firstUid, SANDBOX.uidCount);
  private readonly imports = new Slots(OCI.imports, OCI.importsWaiting, 'imports of images');
  private trials = 0;
  private closed = false;

  constructor(private readonly options: OciEngineOptions) {
    this.images = new LaidOutImages(options);
  }

  /** Looks and changes nothing: the kernel loads overlayfs itself, with the first mount. */
  async check(): Promise<{ ok: true } | { ok: false; reason: string; hint: string }> {
    if (process.getuid?.() !== 0)
      return { ok: false, reason: 'containers are started as root', hint: 'run with sudo' };
    try {
      const missing = await missingPackages(PACKAGES);
      if (missing.length > 0)
        return { ok: false, reason: `not installed: ${missing.join(', ')}`, hint: installLine(missing) };
      const { exitCode, output } = await run('runc', ['--version']);
      if (exitCode !== 0) throw new NemoError('UNSUPPORTED', `runc does not run: ${output.trim()}`);
      if (
        !readFileSync('/proc/filesystems', 'utf8').includes('overlay') &&
        (await run('modprobe', ['--dry-run', 'overlay'])).exitCode !== 0
      )
        throw new NemoError('UNSUPPORTED', 'the kernel has no overlayfs', {
          hint: 'load the module overlay',
        });
      return { ok: true };
    } catch (thrown) {
      const { message, hint } = asNemoError(thrown);
      return { ok: false, reason: message, hint: hint ?? 'apt-get install -y runc busybox-static' };
    }
  }

  async prepare({ source, asker }: PrepareRequest<'image'>): Promise<Buffer> {
    const runDir = await this.layOut();
    const { storeDir: store, confined, access, storage, layers } = this.options;
    // One after the other: each is told the room that is left.
    return this.imports.hold(async () => {
      const roomBytes = await storage.room();
      return layers.import(async (want) => {
        const imported = await confined.within((place) =>
          importInThread({ image: source.image, store, place, access, roomBytes }),
        );
        const plan = await this.plan(source, imported, runDir);
        want(plan.layers);
        return Buffer.from(JSON.stringify(plan));
      });
    }, asker);
  }

  private async plan(request: ImageRequest, imported: ImportedImage, runDir: string): Promise<ImagePlan> {
    const trial = join(runDir, `trial-${++this.trials}`);
    try {
      // While it is mounted, other users of the box must not read what is in the image.
      mkdirSync(trial, { mode: 0o700 });
      return planImage(request, imported, await mountRootfs(this.options.storeDir, imported.layers, trial));
    } finally {
      await unmountBelow(trial);
    }
  }

  async start(options: StartOptions): Promise<Sandbox> {
    const { id, cgroup, variant = '', scheduling } = options;
    if (this.closed) throw new NemoError('STOPPING', `sandbox ${id} is not started: the agent is stopping`);
    const uid = this.uids.take(id, this.live);
    let bundle = '';
    let taken = false;
    let sandbox: ProcessSandbox;
    try {
      const runDir = await this.layOut();
      const { plan, directory: image } = this.images.take(variant, runDir);
      taken = true;
      bundle = join(runDir, id);
      const directory = join(bundle, 'function');
      const stateDirectory = join(bundle, 'state');
      mkdirSync(bundle, { mode: 0o700 });
      mkdirSync(directory, { mode: 0o750 });
      chownSync(directory, 0, uid);
      const cgroupPath = groupPath(cgroup);
      const spec = containerSpec({
        ...{ plan, uid, directory, cgroupPath },
        root: join(image, 'root'),
        runner: join(runDir, 'runtime', 'runner'),
        busybox: findProgram('busybox') ?? '/bin/busybox',
      });
      writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec), { mode: 0o600 });
      const child = launchContainer({
        ...{ id, image, stateDirectory, bundle, scheduling },
        store: this.options.storeDir,
        setApart: this.options.setApart,
        layers: plan.layers,
        joinPaths: cgroup.joinPaths,
      });
      const { run: how } = plan;
      sandbox = new ProcessSandbox(options, child, bundle, uid, undefined, {
        engine: OCI_ENGINE,
        ...(how.kind === 'http'
          ? {
              openChannel: (socket, events) =>
                new HttpChannel(socket, events, () => connectInside(cgroup, how.port)),
              outlivesSocket: true,
              install: (load: LoadOptions) => writeEnvironment(directory, uid, load.env),
            }
          : { install: async () => how.handler }),
        cleanUp: () => this.removeForeignGroups(cgroup, cgroupPath),
      });
    } catch (thrown) {
      if (bundle !== '') rmSync(bundle, { recursive: true, force: true });
      await cgroup.remove();
      if (taken) this.images.leave(variant);
      throw thrown instanceof NemoError
        ? thrown
        : new NemoError('SANDBOX_START', `sandbox ${id} did not start: ${(thrown as Error).message}`, {
            cause: thrown,
          });
    }
    this.live.set(uid, sandbox);
    void sandbox.exited.then(() => {
      this.live.delete(uid);
      this.images.leave(variant);
    });
    await sandbox.ready();
    return sandbox;
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.live.values()].map((sandbox) => sandbox.kill()));
    if (this.laidOut !== undefined) await unmountBelow(await this.laidOut);
  }

  /** Once: undoes what a dead agent left, then lays out what the sandboxes share. */
  private layOut(): Promise<string> {
    this.laidOut ??= (async () => {
      const { directory } = this.options;
      await unmountBelow(directory);
      makeOpenDirectory(directory);
      prepareRuntime(join(directory, 'runtime'));
      return directory;
    })();
    // A disk that was full may have room at the next try.
    this.laidOut.catch(() => {
      this.laidOut = undefined;
    });
    return this.laidOut;
  }

  /** runc makes the group in every hierarchy, also those that NEMO has no use for. What is left above is the driver's. */
  private async removeForeignGroups(cgroup: Cgroup, path: string): Promise<void> {
    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
      const [, mount = '', type] = line.split(' ');
      const group = `${mount}${path}`;
      if (type?.startsWith('cgroup') !== true || cgroup.joinPaths.includes(`${group}/cgroup.procs`)) continue;
      await rmdir(group).catch(() => {});
    }
  }
}

/** As runc wants it: below the mount point of a hierarchy. NEMO's groups are two levels deep. */
function groupPath(cgroup: Cgroup): string {
  return `/${dirname(cgroup.joinPaths[0]!).split('/').slice(-2).join('/')}`;
}

/** For the shell that starts the image's program. */
async function writeEnvironment(
  directory: string,
  uid: number,
  env: Record<string, string>,
): Promise<string> {
  const quoted = (value: string) => `'${value.replaceAll("'", "'\\''")}'`;
  const lines = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
  const file = join(directory, 'env');
  await rm(file, { force: true });
  await writeFile(file, lines.join(''), { mode: 0o600, flag: 'wx' });
  await chown(file, 0, uid);
  await chmod(file, 0o640);
  return file;
}
