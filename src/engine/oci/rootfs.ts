/**
 * The root file system of an image: its layers under a read-only overlay. A sandbox mounts it in its own mount namespace,
 * so that no mount outlives it. A layer of our own on top has the mount points that a container needs.
 */

import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, posix } from 'node:path';
import { LOCAL_HOSTS, SHARED_FILES } from '../../confinement/surroundings.js';
import { layerParts } from '../../images/layer-path.js';
import { runCommand } from '../../linux/tied-process.js';
import { OCI, SANDBOX } from '../../tunables/index.js';

/** Where a sandbox finds what is NEMO's. */
export const NEMO_DIRECTORY = '/.nemo';
export const HOSTNAME = 'sandbox';
const MOUNT_POINTS = ['proc', 'dev', '.nemo/runner', '.nemo/function'];
const { hostname, 'resolv.conf': resolvConf } = SHARED_FILES;
const ETC = { hostname: hostname!, 'resolv.conf': resolvConf! };
const LINKS_MAX = 40;
const NAME_MAX_BYTES = 255;
/** Steps along one path, those of its links too: as long as a layer's deepest path, a few times over. */
const STEPS_MAX = 4 * OCI.depthMax;

export interface OwnLayer {
  volumes?: readonly string[];
  /** Made where the image lacks them. */
  folders?: readonly string[];
  /** What container runtimes put into /etc, and there the image's users, if they are known. */
  etc?: { passwd: string | undefined };
}

/** Makes the folders of an image's mounts in `directory`, and what else of its root is NEMO's. */
export function layOutRootfs(directory: string, { volumes = [], folders = [], etc }: OwnLayer): void {
  const top = join(directory, 'top');
  for (const path of folders) mkdirSync(join(top, ...layerParts(path)), { recursive: true });
  const scratch = ['tmp', ...volumes.map((path) => layerParts(path).join('/'))];
  for (const point of [...MOUNT_POINTS, ...scratch]) mkdirSync(join(top, point), { recursive: true });
  // A mount gets the mode of the directory that it covers.
  for (const point of scratch) chmodSync(join(top, point), 0o1777);
  writeFileSync(join(top, '.nemo/busybox'), '');
  if (etc !== undefined) writeEtc(join(top, 'etc'), etc.passwd);
  mkdirSync(join(directory, 'root'));
}

/** Where NEMO makes a file in the root of every image, or below one: no folder can be made there. */
export function isFileOfNemo(path: string): boolean {
  const made = [...Object.keys(ETC), 'hosts', 'passwd'].map((name) => `/etc/${name}`);
  return [`${NEMO_DIRECTORY}/busybox`, ...made].some((file) => `${path}/`.startsWith(`${file}/`));
}

/** Images come without these names, since every container runtime adds them; and programs ask who they are. */
function writeEtc(etc: string, passwd: string | undefined): void {
  const files: Record<string, string> = { ...ETC, hosts: LOCAL_HOSTS };
  if (passwd !== undefined) {
    const users = Array.from({ length: SANDBOX.uidCount }, (_, i) => {
      const uid = OCI.firstUid + i;
      return `${HOSTNAME}${i}:x:${uid}:${uid}::/tmp:/bin/sh\n`;
    });
    files.passwd = (passwd === '' || passwd.endsWith('\n') ? passwd : `${passwd}\n`) + users.join('');
  }
  mkdirSync(etc, { recursive: true });
  chmodSync(etc, 0o755);
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(etc, name), text);
    chmodSync(join(etc, name), 0o644);
  }
}

/**
 * The command that mounts `layers` (directories below `store`, lowest first) at `directory`/root and becomes `then`.
 * Layers are named relative to the store, because the options of all of them have to fit into one page.
 */
export function overlayCommand(
  store: string,
  layers: readonly string[],
  directory: string,
  then: readonly string[],
): string[] {
  // By the kernel's old call: with the new one, an option is at most 256 bytes long.
  const script =
    'cd "$1" && LIBMOUNT_FORCE_MOUNT2=always mount -t overlay nemo-image -o "$2" "$3" && shift 3 && exec "$@"';
  const lower = [join(directory, 'top'), ...layers.toReversed()];
  const options = `ro,nosuid,nodev,lowerdir=${lower.join(':')}`;
  return ['/bin/sh', '-c', script, 'mount', store, options, join(directory, 'root'), ...then];
}

/** Mounts it where all can see it, for a look; its path. `unmountBelow` undoes it. */
export async function mountRootfs(
  store: string,
  layers: readonly string[],
  directory: string,
): Promise<string> {
  layOutRootfs(directory, {});
  const [shell, ...args] = overlayCommand(store, layers, directory, ['true']);
  await runCommand(shell!, args);
  return join(directory, 'root');
}

/** Undoes every mount below `directory`, also of an agent that was killed, and removes it. */
export async function unmountBelow(directory: string): Promise<void> {
  const points = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${directory}/`));
  for (const point of points.reverse()) await runCommand('umount', ['-l', point]);
  rmSync(directory, { recursive: true, force: true });
}

/** The file that `path` means inside of `root`, its links followed there; undefined if there is none. */
export function fileInside(root: string, path: string): string | undefined {
  const found = follow(root, path);
  return found?.missing.length === 0 && lstatSync(root + found.path).isFile() ? root + found.path : undefined;
}

/**
 * Where a directory `path` of an image is or can be made, without links: a folder made above one would hide it, and all
 * that it leads to. Undefined if a file is in the way.
 */
export function directoryInside(root: string, path: string): string | undefined {
  const found = follow(root, path);
  if (found === undefined || found.missing.includes('..')) return undefined;
  if (!lstatSync(root + found.path).isDirectory()) return undefined;
  return posix.join('/', found.path, ...found.missing);
}

/** As far as `path` is there, with its links followed; undefined if they do not end. */
function follow(root: string, path: string): { path: string; missing: string[] } | undefined {
  let done = '';
  const left = path.split('/');
  for (let links = 0, steps = 0; left.length > 0; ) {
    if (++steps > STEPS_MAX) return undefined;
    const part = left.shift()!;
    // No file system has such a name.
    if (Buffer.byteLength(part) > NAME_MAX_BYTES) return undefined;
    const next = posix.join('/', done, part);
    const found = lstatSync(root + next, { throwIfNoEntry: false });
    if (found === undefined) return { path: done, missing: [part, ...left] };
    if (links > LINKS_MAX) return undefined;
    if (!found.isSymbolicLink()) {
      done = next;
      if (!found.isDirectory() && left.length > 0) return { path: done, missing: left };
      continue;
    }
    links++;
    const target = readlinkSync(root + next);
    if (target.startsWith('/')) done = '';
    left.unshift(...target.split('/'));
  }
  return { path: done, missing: [] };
}

/** The program that a shell in the image would run for `name`; undefined if there is none. */
export function programInside(root: string, name: string, path: string, cwd: string): string | undefined {
  const isProgram = (candidate: string): boolean => {
    const file = fileInside(root, candidate);
    return file !== undefined && (lstatSync(file).mode & 0o111) !== 0;
  };
  if (name.includes('/')) {
    const candidate = posix.resolve(cwd, name);
    return isProgram(candidate) ? candidate : undefined;
  }
  for (const directory of path.split(':')) {
    const candidate = posix.join('/', directory, name);
    if (isProgram(candidate)) return candidate;
  }
  return undefined;
}

/** ELF machine of a program, or the interpreter that its first line names. */
export function programKind(file: string): { machine?: number; interpreter?: string } {
  const head = Buffer.alloc(256);
  const fd = openSync(file, 'r');
  try {
    readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  if (head.readUInt32BE() === 0x7f454c46) return { machine: head.readUInt16LE(18) };
  const [, interpreter] = /^#!\s*(\S+)/.exec(head.toString('latin1')) ?? [];
  return interpreter === undefined ? {} : { interpreter };
}
