/**
 * What WASI preview 1 has and a function has not: files, directories, sockets, signals. Each answers with one error number,
 * that of POSIX for the same on a pipe; `docs/engines.md` has the table. Descriptors are the three standard streams.
 */

import { ERRNO } from './errno.js';

/** Of a standard stream. Any other descriptor, and a directory that nobody opened, is BADF. */
export const ON_STREAMS = {
  fd_advise: ERRNO.spipe,
  fd_allocate: ERRNO.spipe,
  fd_datasync: ERRNO.inval,
  fd_fdstat_set_rights: ERRNO.notsup,
  fd_filestat_set_size: ERRNO.inval,
  fd_filestat_set_times: ERRNO.notsup,
  fd_pread: ERRNO.spipe,
  fd_prestat_dir_name: ERRNO.notdir,
  fd_prestat_get: ERRNO.badf,
  fd_pwrite: ERRNO.spipe,
  fd_readdir: ERRNO.notdir,
  fd_renumber: ERRNO.badf,
  fd_seek: ERRNO.spipe,
  fd_sync: ERRNO.inval,
  fd_tell: ERRNO.spipe,
  path_create_directory: ERRNO.notdir,
  path_filestat_get: ERRNO.notdir,
  path_filestat_set_times: ERRNO.notdir,
  path_link: ERRNO.notdir,
  path_open: ERRNO.notdir,
  path_readlink: ERRNO.notdir,
  path_remove_directory: ERRNO.notdir,
  path_rename: ERRNO.notdir,
  path_symlink: ERRNO.notdir,
  path_unlink_file: ERRNO.notdir,
  sock_accept: ERRNO.notsock,
  sock_recv: ERRNO.notsock,
  sock_send: ERRNO.notsock,
  sock_shutdown: ERRNO.notsock,
} as const;

type Refused = keyof typeof ON_STREAMS;

/** `isStream`: of a descriptor that is open. */
export function refusals(isStream: (fd: number) => boolean): Record<Refused, (...args: never[]) => number> {
  const refuse = (name: Refused): ((...args: never[]) => number) =>
    // The one function of preview 1 whose directory is not its first argument.
    name === 'path_symlink'
      ? (_text: number, _length: number, fd: number) => (isStream(fd) ? ON_STREAMS[name] : ERRNO.badf)
      : (fd: number) => (isStream(fd) ? ON_STREAMS[name] : ERRNO.badf);
  const names = Object.keys(ON_STREAMS) as Refused[];
  return Object.fromEntries(names.map((name) => [name, refuse(name)])) as Record<
    Refused,
    (...args: never[]) => number
  >;
}
