/**
 * Whether what starts a program is there in a sandbox: the interpreter that a script's first line names, as the kernel
 * and `env -S` read it, and the loader of an ELF program. What is not would fail at each call, in words that name the
 * program instead of what it lacks.
 */

import { closeSync, lstatSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { closedAncestor } from '../../confinement/runtime.js';
import { NemoError } from '../../model/errors.js';

/** Of the host, what a sandbox of programs sees, read-only. */
export const HOST_FOLDERS = ['/usr', '/bin', '/lib', '/lib64', '/sbin'];
/** As `program.ts` sets it. */
const PATH = ['/usr/local/bin', '/usr/bin', '/bin'];
/** As the kernel: a first line is cut here, and scripts that interpret scripts end. */
const LINE_BYTES = 256;
const NESTED_MAX = 4;
const ENV = /(^|\/)env$/;
/** Of env, with an argument of its own. */
const ENV_WITH_VALUE = /^(-u|--unset|-C|--chdir|-a|--argv0)$/;

/** Throws BAD_FUNCTION with what is missing. */
export function requireInterpreter(head: Buffer, filename: string, nested = 0): void {
  const line = head.toString('utf8', 2, LINE_BYTES).split('\n', 1)[0]!.trim();
  const program = interpreterOf(line, filename);
  const path = program.startsWith('/') ? program : found(program);
  // What the kernel starts, which may be env.
  const first = line.split(/\s/, 1)[0]!;
  const lack = path === undefined ? 'is not installed here' : (lackOf(first) ?? lackOf(path));
  if (path === undefined || lack !== undefined) {
    throw new NemoError('BAD_FUNCTION', `${filename} asks for the interpreter '${line}', which ${lack}`, {
      hint: 'install it on this host below /usr, for all users, or deploy a compiled program',
    });
  }
  const inner = nested < NESTED_MAX ? headOf(path) : undefined;
  if (inner !== undefined && inner.toString('latin1', 0, 2) === '#!')
    requireInterpreter(inner, `${filename}: ${path}`, nested + 1);
}

/** The path or name of the program that the rest of a first line means. */
function interpreterOf(line: string, filename: string): string {
  const [, path = '', rest = ''] = /^(\S*)\s*(.*)$/.exec(line)!;
  if (path !== '' && !path.startsWith('/')) {
    throw new NemoError(
      'BAD_FUNCTION',
      `${filename} begins with '#!${line}': '${path}' is looked for in the folder of each call, not in PATH`,
      {
        hint: ENV.test(path)
          ? `begin it with #!/usr/bin/${line}`
          : `begin it with #!/usr/bin/env ${rest === '' ? '' : '-S '}${line}`,
      },
    );
  }
  if (!ENV.test(path)) return path;
  // The kernel gives the rest as one argument.
  const split = /^(?:-[a-zA-Z0]*S|--split-string(?:=|\s))\s*(.*)$/.exec(rest)?.[1];
  if (split === undefined && /\s/.test(rest)) {
    throw new NemoError(
      'BAD_FUNCTION',
      `${filename} begins with '#!${line}': env gets '${rest}' as one word`,
      {
        hint: `begin it with #!${path} -S ${rest}`,
      },
    );
  }
  const words = wordsOf(split ?? rest);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (ENV_WITH_VALUE.test(word)) i++;
    else if (!word.startsWith('-') && !/^[^=]+=/.test(word)) return word;
  }
  // It would be given the script as the program to run, and so start itself again without end.
  throw new NemoError(
    'BAD_FUNCTION',
    `${filename} begins with '#!${line}', which names no program for env to run`,
    {
      hint: `name its interpreter there, as in #!${path} python3`,
    },
  );
}

/** As env -S splits: by blanks, outside of quotes. */
function wordsOf(text: string): string[] {
  const words = text.match(/(?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replaceAll(/["']/g, ''));
}

function found(name: string): string | undefined {
  if (name === '' || name.includes('/')) return undefined;
  return PATH.map((folder) => `${folder}/${name}`).find((path) => lackOf(path) === undefined);
}

/** Why no sandbox can run what is at `path`; undefined: it can. Of other files a deploy does not tell whether they are there. */
function lackOf(path: string): string | undefined {
  if (!isSeen(path) || path.includes('\0')) return 'a sandbox does not see: it sees the programs below /usr';
  let real: string;
  try {
    lstatSync(path);
    real = realpathSync(path);
  } catch {
    return 'is not installed here';
  }
  if (!isSeen(real)) return 'a sandbox does not see: it lies outside of /usr';
  const stats = statSync(real);
  if (!stats.isFile()) return 'is not a program';
  const { mode } = stats;
  if ((mode & 0o001) === 0 || closedAncestor(dirname(real)) !== undefined)
    return 'only its owner may run, not a sandbox';
  return undefined;
}

function isSeen(path: string): boolean {
  return !path.includes('..') && HOST_FOLDERS.some((folder) => path.startsWith(`${folder}/`));
}

function headOf(path: string): Buffer | undefined {
  const head = Buffer.alloc(LINE_BYTES);
  const fd = openSync(path, 'r');
  try {
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } finally {
    closeSync(fd);
  }
}

const PT_INTERP = 3;
const HEADER_BYTES = 64;
const ENTRY_BYTES = 56;

/** Throws BAD_FUNCTION if a 64 bit ELF program names a loader that is not there: of another libc, say. */
export function requireLoader(elf: Buffer, filename: string): void {
  if (elf.length < HEADER_BYTES) return;
  const at = Number(elf.readBigUInt64LE(32));
  const count = elf.readUInt16LE(56);
  for (let i = 0; i < count; i++) {
    const entry = at + i * ENTRY_BYTES;
    if (entry + ENTRY_BYTES > elf.length || elf.readUInt32LE(entry) !== PT_INTERP) continue;
    const from = Number(elf.readBigUInt64LE(entry + 8));
    const bytes = Number(elf.readBigUInt64LE(entry + 32));
    const loader = elf.toString('latin1', from, from + Math.min(bytes, LINE_BYTES)).split('\0', 1)[0]!;
    const lack = lackOf(loader);
    if (lack === undefined) return;
    throw new NemoError('BAD_FUNCTION', `${filename} needs the loader ${loader}, which ${lack}`, {
      hint: 'link it statically, or for the libc of this host',
    });
  }
}
