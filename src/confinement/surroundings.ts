/**
 * What a Linux program looks for in /etc, for a user of a sandbox: its own name, the host's, how names are looked up.
 * Nothing in it tells of the host's users or network.
 */

import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const USER_NAME = 'function';
/** In a sandbox's own directory, each linked from /etc. */
export const OWN_FILES = ['passwd', 'group', 'hosts'] as const;
/** Beside the runner, each linked from /etc. */
export const SHARED_FILES: Record<string, string> = {
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n',
  'resolv.conf': '# What may be reached is in /etc/hosts.\n',
  hostname: 'sandbox\n',
};
/** While nothing else may be reached. */
export const LOCAL_HOSTS = '127.0.0.1 localhost sandbox\n::1 localhost\n';
/**
 * Who reads them holds what others wait for: everybody's file locks, for as long as a busy NF keeps the reader from its
 * core; and, with interrupts off, the allocator of pages.
 */
export const LOCKING_PROC_FILES = ['/proc/locks', '/proc/zoneinfo'] as const;
export const ETC_INSIDE = '/runner/etc';
/** Of the host, where its programs are: what they share with all. */
export const OF_THE_HOST = [
  ...['/etc/ssl/certs', '/etc/ssl/openssl.cnf', '/etc/services', '/etc/protocols', '/etc/mime.types'],
  ...['/etc/os-release', '/etc/fonts', '/etc/perl', '/etc/python3', '/etc/magic'],
];

/** For every sandbox of an engine; `runner`: the directory that becomes /runner. */
export function layOutEtc(runner: string): void {
  const folder = join(runner, 'etc');
  mkdirSync(folder, { mode: 0o755 });
  for (const [name, text] of Object.entries(SHARED_FILES))
    writeFileSync(join(folder, name), text, { mode: 0o644 });
}

/** For one sandbox, in the directory that becomes /function. */
export function writeOwnFiles(directory: string, uid: number): void {
  const texts = {
    passwd: `root:x:0:0::/:/bin/sh\n${USER_NAME}:x:${uid}:${uid}::/tmp:/bin/sh\n`,
    group: `root:x:0:\n${USER_NAME}:x:${uid}:\n`,
    hosts: LOCAL_HOSTS,
  };
  for (const name of OWN_FILES) {
    const path = join(directory, name);
    writeFileSync(path, texts[name], { mode: 0o640 });
    chownSync(path, 0, uid);
  }
}
