/**
 * The command line of one virtual machine, and its start. QEMU runs like any sandbox of the `process` engine: an
 * unprivileged user in bubblewrap with the host's /usr and nothing else, without a network, and with QEMU's own system
 * call filter on top. Everything it needs comes as an open file or socket, so no path of the host has to be shared.
 */

import { closeSync, existsSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { cpus } from 'node:os';
import { type Launch, launchCommand } from '../../confinement/launch.js';
import { type StartSandbox, spawnSandbox } from '../../confinement/start-apart.js';
import { type ChildProcess, spawn } from '../../linux/spawn.js';
import { MICROVM } from '../../tunables/index.js';
import { MEMORY_PATH } from './memory-library.js';

export type Accelerator = 'kvm' | 'tcg';

export interface MachineSpec {
  accelerator: Accelerator;
  memoryMb: number;
  /** V8's old space: what the function may use of it. */
  heapMb: number;
  /** True: writes go to the memory file, which becomes a snapshot. False: they stay private to this machine. */
  share: boolean;
  /** Goes on from a device state instead of booting. */
  incoming: boolean;
}

export interface MachineFiles {
  kernel: string;
  initrd: string;
  root: string;
  /** Open for reading; to make a snapshot, for writing too. */
  memoryFd: number;
  /** Open for reading; with `incoming` only. */
  devicesFd?: number;
}

/** Numbers of the machine's sockets and files: those of the host's end are indexes of `ChildProcess.stdio`. */
export const Fd = { runner: 3, sync: 4, seccomp: 5, memory: 6, devices: 7, qmp: 8, console: 9 } as const;
const [ROOT, KERNEL, INITRD] = [10, 11, 12];
const file = (fd: number): string => `/proc/self/fd/${fd}`;

/** Order of the ports is their number in the guest. */
const PORTS = [
  ['runner', Fd.runner],
  ['sync', Fd.sync],
  ['stdout', 1],
  ['stderr', 2],
] as const;

/** QEMU's arguments. Pure. */
export function machineArgs(spec: MachineSpec): string[] {
  const { accelerator, memoryMb, heapMb, share, incoming } = spec;
  const memory = `id=mem,size=${memoryMb}M,mem-path=${MEMORY_PATH},share=${share ? 'on' : 'off'}`;
  return [
    ...['-M', 'microvm,memory-backend=mem,rtc=off,pit=off,pic=off'],
    ...(accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', `tcg,thread=multi,tb-size=${MICROVM.translationMb}`, '-cpu', 'qemu64']),
    ...['-smp', '1', '-m', `${memoryMb}`, '-object', `memory-backend-file,${memory}`],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-nographic'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-chardev', `socket,id=console,fd=${Fd.console}`, '-serial', 'chardev:console'],
    ...['-chardev', `socket,id=qmp,fd=${Fd.qmp}`, '-mon', 'chardev=qmp,mode=control'],
    ...['-drive', `file=${file(ROOT)},format=raw,if=none,id=root,readonly=on,file.locking=off`],
    ...['-device', 'virtio-blk-device,drive=root', '-device', 'virtio-serial-device'],
    ...PORTS.flatMap(([id, fd]) => [
      '-chardev',
      `socket,id=${id},fd=${fd}`,
      '-device',
      `virtserialport,chardev=${id},name=${id}`,
    ]),
    ...['-kernel', file(KERNEL), '-initrd', file(INITRD), '-append', kernelArgs(heapMb)],
    ...(incoming ? ['-incoming', 'defer'] : []),
  ];
}

function kernelArgs(heapMb: number): string {
  // Given, because measuring it against an emulated timer fails now and then, and the boot with it.
  const tscKhz = Math.round(Math.max(...cpus().map(({ speed }) => speed)) * 1_000) || 2_000_000;
  return `console=ttyS0 quiet reboot=t panic=-1 tsc_early_khz=${tscKhz} nemo.heap=${heapMb}`;
}

/** The host's end of one of a machine's sockets. */
export function socketOf(child: ChildProcess, fd: number): Socket {
  return (child.stdio as unknown as Socket[])[fd]!;
}

/** What all machines share. */
export interface MachineRuntime {
  seccompPath: string;
  /** See memory-library.ts. */
  libraryPath: string;
}

export type MachineLaunch = Omit<Launch, 'runtime'> & { runtime: MachineRuntime };

const LIBRARY = '/memory.so';
const HOST_FOLDERS = ['/usr', '/bin', '/lib', '/lib64', '/etc/ld.so.cache'];

/** The child's stdio: stdout and stderr the function's, then as in `Fd`. Its sockets' errors are told by its end. */
export function launchMachine(spec: MachineSpec, launch: MachineLaunch, files: MachineFiles): ChildProcess {
  const { runtime: shared, ...rest } = launch;
  const { seccompPath, libraryPath } = shared;
  const folders = HOST_FOLDERS.filter((path) => existsSync(path)).map((path) => [path, path] as const);
  const binds = [...folders, [libraryPath, LIBRARY] as const];
  const runtime = { binds, nodeInside: '', runnerInside: '', seccompPath };
  const kvm = spec.accelerator === 'kvm';
  const program = ['env', `LD_PRELOAD=${LIBRARY}`, 'qemu-system-x86_64', ...machineArgs(spec)];
  const command = launchCommand({ ...rest, runtime, ...(kvm ? { devices: ['/dev/kvm'] } : {}) }, program);
  const opened = [files.root, files.kernel, files.initrd].map((path) => openSync(path, 'r'));
  try {
    const stdio = [
      ...(['pipe', 'pipe', 'pipe', 'pipe', 'ignore'] as const),
      files.memoryFd,
      files.devicesFd ?? ('ignore' as const),
      ...(['pipe', 'pipe'] as const),
      ...opened,
    ];
    const options = {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      cwd: '/',
      // Ctrl-C in the agent's terminal is for the agent: calls that run are answered first.
      detached: true,
    };
    const start: StartSandbox = ([program, ...args], stdin) =>
      spawn(program!, args, { ...options, stdio: [stdin, ...stdio] });
    const child = spawnSandbox(command, start, launch.setApart);
    for (const stream of child.stdio) stream?.on('error', () => {});
    return child;
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}
