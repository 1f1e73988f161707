/**
 * Writes a "newc" cpio archive, the format of an initramfs:
 * https://docs.kernel.org/driver-api/early-userspace/buffer-format.html. Parents must come before children.
 */

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;

export class CpioWriter {
  private readonly fd: number;
  private readonly directories = new Set<string>();
  private inode = 1;

  constructor(path: string) {
    this.fd = openSync(path, 'w');
  }

  /** `path` without a leading slash; missing parents are made. */
  directory(path: string): void {
    if (path === '' || this.directories.has(path)) return;
    this.parents(path);
    this.directories.add(path);
    this.entry(path, S_IFDIR | 0o755, Buffer.alloc(0));
  }

  file(path: string, data: Buffer | string, mode = 0o755): void {
    this.parents(path);
    this.entry(path, S_IFREG | mode, Buffer.from(data));
  }

  copy(from: string, to = from.slice(1)): void {
    this.file(to, readFileSync(from));
  }

  characterDevice(path: string, major: number, minor: number): void {
    this.parents(path);
    this.entry(path, S_IFCHR | 0o600, Buffer.alloc(0), major, minor);
  }

  close(): void {
    this.entry('TRAILER!!!', 0, Buffer.alloc(0));
    closeSync(this.fd);
  }

  private parents(path: string): void {
    this.directory(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '');
  }

  private entry(path: string, mode: number, data: Buffer, major = 0, minor = 0): void {
    const name = Buffer.from(`${path}\0`);
    // inode, mode, uid, gid, links, mtime, size, device (2), device it stands for (2), name length, checksum
    const numbers = [this.inode++, mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
    const header = `070701${numbers.map((n) => n.toString(16).padStart(8, '0')).join('')}`;
    this.write(Buffer.concat([Buffer.from(header), name]));
    this.write(data);
  }

  /** Header with name, and data, each padded to four bytes. */
  private write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.fd, bytes, at);
    const padding = -bytes.length & 3;
    if (padding > 0) writeSync(this.fd, Buffer.alloc(padding));
  }
}
