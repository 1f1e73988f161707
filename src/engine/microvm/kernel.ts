/**
 * The guests' kernel: Debian's cloud kernel and the modules it needs to see virtio devices, taken out of its package
 * into a folder. Nothing is installed on the host.
 */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { run } from '../../host/packages.js';
import { namesIfThere } from '../../linux/if-there.js';
import { NemoError } from '../../model/errors.js';

const PACKAGE = 'linux-image-cloud-amd64';
const IMAGE = /^vmlinuz-/;

export interface Kernel {
  /** Path of the image. */
  image: string;
  /** Folder with the modules, as `drivers/virtio/virtio.ko` below it; a kernel that has all built in needs none. */
  modules: string;
}

/** A kernel that lies in `directory` as `fetchKernel` leaves it. */
export function storedKernel(directory: string): Kernel | undefined {
  const boot = join(directory, 'boot');
  const image = existsSync(boot) ? readdirSync(boot).find((name) => IMAGE.test(name)) : undefined;
  return image === undefined ? undefined : kernelOf(join(boot, image));
}

/** Modules lie where every distribution has them, seen from the image: `../lib/modules/<version>/kernel`. */
export function kernelOf(image: string): Kernel {
  const version = basename(image).replace(IMAGE, '');
  return { image, modules: join(dirname(image), '..', 'lib', 'modules', version, 'kernel') };
}

/** Downloads and unpacks it into `directory` if it is not there. Throws MISSING_PACKAGE with the way out. */
export async function fetchKernel(
  directory: string,
  progress: (line: string) => void = () => {},
): Promise<Kernel> {
  // Of an agent that was killed while it fetched one.
  for (const name of namesIfThere(dirname(directory)))
    if (name.startsWith(`${basename(directory)}.new-`))
      rmSync(join(dirname(directory), name), { recursive: true, force: true });
  const stored = storedKernel(directory);
  if (stored !== undefined) return stored;
  progress(`fetching a kernel for virtual machines (${PACKAGE}) ...`);
  mkdirSync(dirname(directory), { recursive: true });
  // Beside its place, and moved there whole: a kill leaves no half of a kernel that looks like one.
  const folder = mkdtempSync(`${directory}.new-`);
  try {
    const name = (await packageName()) ?? (await refreshed());
    await must(`cd '${folder}' && apt-get download -q ${name} && dpkg -x ./*.deb . && rm ./*.deb`);
    rmSync(directory, { recursive: true, force: true });
    renameSync(folder, directory);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const kernel = storedKernel(directory);
  if (kernel === undefined) throw missing(`${PACKAGE} holds no kernel image`);
  return kernel;
}

/** The meta package only depends on the one that holds the kernel. */
async function packageName(): Promise<string | undefined> {
  const { output } = await run('apt-cache', ['depends', PACKAGE]);
  return /Depends: (linux-image-\S+)/.exec(output)?.[1];
}

async function refreshed(): Promise<string> {
  await must('apt-get update -q');
  const name = await packageName();
  if (name === undefined) throw missing(`apt knows no ${PACKAGE}`);
  return name;
}

async function must(command: string): Promise<void> {
  const { exitCode, output } = await run('sh', ['-c', command]);
  if (exitCode !== 0) throw missing(output.trim().split('\n').slice(-3).join(' | '));
}

function missing(why: string): NemoError {
  return new NemoError('MISSING_PACKAGE', `no kernel for virtual machines: ${why}`, {
    hint: 'name one with microvm.kernel in the configuration, for example /boot/vmlinuz-6.1.0-40-cloud-amd64',
  });
}
