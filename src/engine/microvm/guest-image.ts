/**
 * What a guest boots: an initramfs with busybox and the kernel's virtio modules, and a read-only ext4 image with node
 * and the runner, which all machines share. Made once for each version of what is in it.
 */

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { librariesOf, RUNNER_FILES, RUNNER_SOURCE } from '../../confinement/runtime.js';
import { LOCAL_HOSTS, SHARED_FILES } from '../../confinement/surroundings.js';
import { run } from '../../host/packages.js';
import { findProgram } from '../../host/programs.js';
import { CpioWriter } from '../../linux/cpio.js';
import { NemoError } from '../../model/errors.js';
import { MICROVM, SANDBOX } from '../../tunables/index.js';
import type { Kernel } from './kernel.js';
import { syncProgram } from './sync-program.js';

const OWN_RUNNER_FILES = ['guest-main.js', 'guest-random.js'];
/** In the order of loading: each needs those before it. */
const MODULES = [
  'drivers/virtio/virtio_ring',
  'drivers/virtio/virtio',
  'drivers/virtio/virtio_mmio',
  'drivers/block/virtio_blk',
  'drivers/char/virtio_console',
];
/** Written to the console when the kernel has started the guest's own program. */
export const INIT_MARK = 'nemo-guest-init';
const GUEST_UID = 1000;

/** Ports: 1 the runner's, 2 clock and entropy, 3 and 4 what the function prints. */
const INIT = `#!/bin/busybox sh
b=/bin/busybox
echo ${INIT_MARK}
$b mount -t devtmpfs devtmpfs /dev
for m in /modules/*.ko; do $b insmod $m || echo "$m was not loaded"; done
$b mount -t ext4 -o ro,noatime /dev/vda /root || exec $b poweroff -f
$b mount -o move /dev /root/dev
$b mount -t proc -o hidepid=2 proc /root/proc
$b mount -t tmpfs -o mode=1777,nosuid,nodev,size=${SANDBOX.tmpMaxBytes} tmpfs /root/tmp
$b mount -t tmpfs -o mode=1777,nosuid,nodev,size=16m tmpfs /root/function
for n in 1 2 3 4; do $b mv /root/dev/vport?p$n /root/dev/port$n; done
$b chown ${GUEST_UID}:${GUEST_UID} /root/dev/port1
cd /root
exec $b chroot /root /bin/busybox sh /start
`;

const RUN = `export HOME=/tmp TZ=UTC PATH=/bin UV_THREADPOOL_SIZE=1
/bin/sync <>/dev/port2 &
echo 1000 >/proc/self/oom_score_adj
ulimit -n ${SANDBOX.openFilesMax}
busybox start-stop-daemon -S -c ${GUEST_UID}:${GUEST_UID} -x /usr/bin/node -- ${MICROVM.nodeFlags.join(' ')} $(busybox sed -n 's/.*nemo.heap=\\([0-9]*\\).*/--max-old-space-size=\\1/p' /proc/cmdline) /runner/guest-main.js >/dev/port3 2>/dev/port4
echo "its program ended with code $?" >/dev/port4
busybox reboot -f
`;

export interface GuestImage {
  initrd: string;
  /** Image of the read-only root. */
  root: string;
  /** Changes with anything that is in it. */
  hash: string;
}

/** Finds or makes it below `directory`; what earlier versions left there is removed. Throws SANDBOX_START. */
export async function buildGuestImage(directory: string, kernel: Kernel): Promise<GuestImage> {
  const files = contents();
  const modules = MODULES.map((name) => join(kernel.modules, `${name}.ko`)).filter((path) =>
    existsSync(path),
  );
  const hash = createHash('sha256');
  for (const [to, from] of files)
    hash.update(to).update(typeof from === 'string' ? readFileSync(from) : from.text);
  for (const path of modules) hash.update(path).update(readFileSync(path));
  const name = hash.update(INIT).update(RUN).digest('hex').slice(0, 16);
  const folder = join(directory, name);
  const image = { initrd: join(folder, 'initrd'), root: join(folder, 'root'), hash: name };
  if (existsSync(folder)) return image;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const old of readdirSync(directory)) rmSync(join(directory, old), { recursive: true, force: true });
  const making = mkdtempSync(join(directory, 'new-'));
  try {
    writeInitrd(join(making, 'initrd'), modules);
    await writeRoot(making, files);
    renameSync(making, folder);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return image;
}

type Content = string | { text: string | Buffer };

/** Path in the guest -> file of the host, or text. */
function contents(): Map<string, Content> {
  const node = realpathSync(process.execPath);
  const busybox = findProgram('busybox') ?? '/bin/busybox';
  const files = new Map<string, Content>([
    ['bin/busybox', busybox],
    ['bin/sync', { text: syncProgram() }],
    ['etc/passwd', { text: `function:x:${GUEST_UID}:${GUEST_UID}::/tmp:/bin/false\n` }],
    ['etc/hosts', { text: LOCAL_HOSTS }],
    ['etc/nsswitch.conf', { text: SHARED_FILES['nsswitch.conf']! }],
    ['etc/group', { text: `function:x:${GUEST_UID}:\n` }],
    ['start', { text: RUN }],
    ['runner/package.json', { text: '{"type":"module"}' }],
    ['usr/bin/node', node],
  ]);
  for (const [inside, host] of librariesOf(node)) files.set(inside.slice(1), host);
  for (const file of [...OWN_RUNNER_FILES, ...RUNNER_FILES])
    files.set(`runner/${file}`, join(RUNNER_SOURCE, file));
  return files;
}

function writeInitrd(path: string, modules: readonly string[]): void {
  const archive = new CpioWriter(path);
  for (const name of ['dev', 'root']) archive.directory(name);
  archive.characterDevice('dev/console', 5, 1);
  archive.copy(findProgram('busybox') ?? '/bin/busybox', 'bin/busybox');
  for (const [i, module] of modules.entries()) archive.copy(module, `modules/${i}.ko`);
  archive.file('init', INIT);
  archive.close();
}

async function writeRoot(folder: string, files: ReadonlyMap<string, Content>): Promise<void> {
  const tree = join(folder, 'tree');
  for (const name of ['proc', 'dev', 'tmp', 'function']) mkdirSync(join(tree, name), { recursive: true });
  let bytes = MICROVM.rootSpareBytes;
  for (const [to, from] of files) {
    const path = join(tree, to);
    mkdirSync(dirname(path), { recursive: true });
    if (typeof from === 'string') copyFileSync(from, path);
    else writeFileSync(path, from.text);
    chmodSync(path, 0o755);
    bytes += readFileSync(path).length;
  }
  const size = `${Math.ceil(bytes / 2 ** 20)}M`;
  const options = ['-q', '-F', '-O', '^has_journal', '-m', '0', '-d', tree];
  const made = await run('mkfs.ext4', [...options, join(folder, 'root'), size]);
  rmSync(tree, { recursive: true, force: true });
  if (made.exitCode === 0) return;
  throw new NemoError('SANDBOX_START', `the guests' root image was not made: ${made.output.trim()}`, {
    hint: 'look for room on the disk of the state directory; apt-get install -y e2fsprogs',
  });
}
