/**
 * Functions that are programs: an ELF binary for this machine, or a script whose first line names its interpreter.
 * They see the host's /usr, read-only, and nothing else of it.
 */

import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeOpenDirectory, type Runtime } from '../../confinement/runtime.js';
import { OF_THE_HOST } from '../../confinement/surroundings.js';
import { NemoError } from '../../model/errors.js';
import type { FunctionSource } from '../../model/function-source.js';
import { HOST_FOLDERS, requireInterpreter, requireLoader } from './interpreter.js';

export const EXEC_VARIANT = 'exec';
const NODE_INSIDE = '/nemo-node';
const HOST_FILES = ['/etc/alternatives', '/etc/ld.so.cache', ...OF_THE_HOST];
const NEWLINE = 10;
const RETURN = 13;
const ELF_MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
const ELF_MACHINE = { x64: 62, arm64: 183 } as const;

/** What is stored of it. BAD_FUNCTION for what does not start here. */
export function prepareProgram({ content, filename }: FunctionSource<'program'>): Buffer {
  const elf = content.subarray(0, 4).equals(ELF_MAGIC);
  const script = content.subarray(0, 2).toString('latin1') === '#!';
  if (!elf && !script) {
    throw new NemoError('BAD_FUNCTION', `${filename} is neither an ELF program nor a script`, {
      hint: 'give a compiled program, or begin a script with #! and its interpreter',
    });
  }
  const machine = elf && content.length >= 20 ? content.readUInt16LE(18) : undefined;
  if (machine !== undefined && machine !== ELF_MACHINE[process.arch as keyof typeof ELF_MACHINE]) {
    throw new NemoError(
      'BAD_FUNCTION',
      `${filename} is a program for another processor than ${process.arch}`,
      {
        hint: `compile it for ${process.arch}`,
      },
    );
  }
  if (elf) requireLoader(content, filename);
  if (script) requireInterpreter(content, filename);
  return script ? withPlainLines(content) : content;
}

/**
 * A script that was written on Windows has no first line that the kernel could use, and a shell stumbles over each line:
 * nothing can depend on its line ends being kept.
 */
function withPlainLines(script: Buffer): Buffer {
  const end = script.indexOf(NEWLINE);
  if (end < 1 || script[end - 1] !== RETURN) return script;
  return Buffer.from(script.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
}

/** The same runner, among the host's programs instead of alone. */
export function withHostPrograms(runtime: Runtime): Runtime {
  const own = runtime.binds.filter(([, inside]) => inside === '/runner');
  const [node] = runtime.binds.find(([, inside]) => inside === runtime.nodeInside)!;
  const shown = [...HOST_FOLDERS, ...HOST_FILES].filter((path) => existsSync(path));
  const ownUsr = ownUsrBeside(runtime.seccompPath);
  const host = shown.map((path) => [within(path, ownUsr?.at), path] as const);
  return {
    ...runtime,
    binds: [...host, [node, NODE_INSIDE], ...own],
    nodeInside: NODE_INSIDE,
    ...(ownUsr === undefined ? {} : { ownUsr }),
  };
}

/** Undefined where file systems are mounted in /usr, which an overlay would not show. */
function ownUsrBeside(path: string): Runtime['ownUsr'] {
  if (/^\S+ \/usr\//m.test(readFileSync('/proc/self/mounts', 'utf8'))) return undefined;
  const [at, empty] = [join(dirname(path), 'usr'), join(dirname(path), 'empty')];
  makeOpenDirectory(at);
  makeOpenDirectory(empty);
  return { at, empty };
}

/** Where a folder of the host is, if `usr` stands for its /usr: /bin is often a link to it. */
function within(folder: string, usr: string | undefined): string {
  const real = realpathSync(folder);
  return usr !== undefined && `${real}/`.startsWith('/usr/') ? usr + real.slice('/usr'.length) : folder;
}
