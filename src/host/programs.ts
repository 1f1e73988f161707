/** Programs from other packages that NEMO runs, and the Debian package that has each. */

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian package -> programs that NEMO takes from it. */
export const PACKAGE_PROGRAMS = {
  iproute2: ['ip'],
  bubblewrap: ['bwrap'],
  'util-linux': ['unshare', 'nsenter', 'setpriv', 'chrt', 'taskset'],
  'redis-server': ['redis-server'],
  chromium: ['chromium'],
  runc: ['runc'],
  'busybox-static': ['busybox'],
  'docker-registry': ['docker-registry'],
  skopeo: ['skopeo'],
  umoci: ['umoci'],
  'qemu-system-x86': ['qemu-system-x86_64'],
  'nginx-light': ['nginx'],
  haproxy: ['haproxy'],
  nftables: ['nft'],
  'wireguard-tools': ['wg'],
  'wireguard-go': ['wireguard-go'],
  'dpdk-dev': ['dpdk-testpmd'],
} as const satisfies Record<string, readonly string[]>;

/** Absolute path of a program, or undefined. sbin is searched too: it is not on every PATH. */
export function findProgram(program: string): string | undefined {
  for (const directory of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    if (directory === '') continue;
    try {
      accessSync(join(directory, program), constants.X_OK);
      return join(directory, program);
    } catch {
      // not in this directory
    }
  }
  return undefined;
}
