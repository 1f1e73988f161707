/**
 * A virtual machine with a real cgroup v2 kernel: Debian's cloud kernel (its modules are not needed) and an
 * initramfs holding a shell, node, the compiled project and koffi. QEMU emulates (TCG): no /dev/kvm wanted.
 * The guest's init ends when the guest program does, the kernel then panics, reboots, and QEMU is gone.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/host/packages.js';
import { findProgram } from '../../src/host/programs.js';
import { CpioWriter } from '../../src/linux/cpio.js';
import { testKernel } from './test-kernel.js';

const BUILD = fileURLToPath(new URL('../..', import.meta.url));
const TOOLS = ['sh', 'sleep', 'head', 'tr', 'wc', 'mount', 'cat', 'rm', 'sed', 'grep'];
/** A kernel that has not started init by now never will: an emulated timer's interrupts can get lost. */
const BOOT_TIMEOUT_MS = 30_000;
const BOOTS_MAX = 3;
const RUN_TIMEOUT_MS = 110_000;
const BOOTED = '@@booted';
const ENDED = '@@end';

const INIT = `#!/bin/sh
export PATH=/bin
echo ${BOOTED}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
node /app/dist/test/support/v2-guest.js
`;

export interface GuestResult {
  title: string;
  error: string | null;
}

/** Boots, runs every check and resolves with what the guest said, even if it stopped early (`ended` false then). */
export async function runV2Guest(): Promise<{ results: GuestResult[]; ended: boolean; console: string }> {
  const kernel = await testKernel();
  const folder = mkdtempSync(join(tmpdir(), 'nemo-v2-'));
  try {
    const initrd = join(folder, 'initrd');
    await buildInitramfs(initrd);
    let console = '';
    for (let boots = 0; boots < BOOTS_MAX && !console.includes(BOOTED); boots++) {
      console = await boot(kernel, initrd);
    }
    const lines = console.split(/\r?\n/);
    const results = lines.filter((line) => line.startsWith('@@{')).map((line) => JSON.parse(line.slice(2)));
    return { results, ended: lines.includes(ENDED), console };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function buildInitramfs(path: string): Promise<void> {
  const archive = new CpioWriter(path);
  for (const directory of ['proc', 'sys', 'dev', 'tmp']) archive.directory(directory);
  archive.characterDevice('dev/console', 5, 1);
  archive.characterDevice('dev/null', 1, 3);
  archive.file('init', INIT);
  const programs = new Map(TOOLS.map((tool) => [tool, findProgram(tool)!]));
  programs.set('node', process.execPath);
  for (const [name, from] of programs) archive.copy(from, `bin/${name}`);
  for (const library of await librariesOf([...programs.values()])) archive.copy(library);

  archive.file('app/package.json', '{"type":"module"}');
  for (const part of ['src', 'test/support']) copyTree(archive, join(BUILD, part), `app/dist/${part}`);
  for (const [name, folder] of koffiPackages()) copyTree(archive, folder, `app/node_modules/${name}`);
  archive.close();
}

/** Shared libraries, the loader among them. */
async function librariesOf(programs: string[]): Promise<Set<string>> {
  const { output } = await run('ldd', programs);
  return new Set([...output.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1]!));
}

/** koffi and its prebuilt binary, which is a package of its own beside it. */
function koffiPackages(): Array<[name: string, folder: string]> {
  const folder = dirname(createRequire(import.meta.url).resolve('koffi'));
  const native = `@koromix/koffi-linux-${process.arch}`;
  return [
    ['koffi', folder],
    [native, join(dirname(folder), native)],
  ];
}

function copyTree(archive: CpioWriter, from: string, to: string): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const path = join(from, entry.name);
    if (entry.isDirectory()) copyTree(archive, path, `${to}/${entry.name}`);
    else if (/\.(c?js|json|node)$/.test(entry.name)) archive.copy(path, `${to}/${entry.name}`);
  }
}

/** Everything that the guest wrote to its serial console. */
async function boot(kernel: string, initrd: string): Promise<string> {
  const machine = ['-M', 'microvm', '-accel', 'tcg,thread=multi', '-smp', '2', '-m', '1024'];
  const quiet = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'];
  // Given, because measuring it against an emulated timer fails now and then, and the boot with it.
  const tscKhz = Math.round(Math.max(...cpus().map((cpu) => cpu.speed)) * 1_000) || 2_000_000;
  const commandLine = `console=ttyS0 quiet reboot=t panic=-1 tsc_early_khz=${tscKhz}`;
  const child = spawn(
    'qemu-system-x86_64',
    [...machine, ...quiet, '-kernel', kernel, '-initrd', initrd, '-append', commandLine],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: RUN_TIMEOUT_MS, killSignal: 'SIGKILL' },
  );
  let console = '';
  // biome-ignore lint/plugin: nothing waits for this; it ends a machine that hangs.
  const hung = setTimeout(() => child.kill('SIGKILL'), BOOT_TIMEOUT_MS);
  const add = (chunk: Buffer) => {
    console += chunk;
    if (console.includes(BOOTED)) clearTimeout(hung);
  };
  child.stdout.on('data', add);
  child.stderr.on('data', add);
  await once(child, 'close');
  clearTimeout(hung);
  return console;
}
