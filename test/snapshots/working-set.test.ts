import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, fsyncSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { mapShared, posixFadvise } from '../../src/linux/libc.js';
import { bytesOf, readAhead, touchedPages } from '../../src/snapshots/working-set.js';

const PAGE_BYTES = 4096;
const PAGES = 4_096;
const DONTNEED = 4;

describe('the working set of a snapshot', () => {
  let directory: string;
  let path: string;
  let fd: number;
  const drop = (): void => {
    fsyncSync(fd);
    posixFadvise(fd, 0, 0, DONTNEED);
  };
  const cachedPages = (): number => Number(execFileSync('fincore', ['-n', '-o', 'PAGES', path]).toString());
  before(() => {
    // Not in memory already, as a file of /tmp may be.
    directory = mkdtempSync('/var/tmp/nemo-test-working-set-');
    path = join(directory, 'memory');
    writeFileSync(path, Buffer.alloc(PAGES * PAGE_BYTES, 1));
    fd = openSync(path, 'r+');
    drop();
  });
  after(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  it('is what a process has touched of the file, near pages in one piece', async () => {
    const { buffer, unmap } = mapShared(fd, PAGES * PAGE_BYTES, path);
    const bytes = new Uint8Array(buffer);
    expect(await touchedPages([process.pid], fstatSync(fd).ino)).to.deep.equal([]);
    for (const page of [3, 8, 3_000]) expect(bytes[page * PAGE_BYTES]).to.equal(1);
    const touched = (await touchedPages([process.pid], fstatSync(fd).ino))!;
    unmap();
    // The kernel maps what lies beside a page too, if it has it.
    const has = (page: number) => touched.some(([first, count]) => page >= first && page < first + count);
    expect([3, 8, 3_000, 1_000, 4_000].map(has)).to.deep.equal([true, true, true, false, false]);
    expect(touched).to.have.length(2);
    expect(bytesOf(touched)).to.be.lessThan(200 * PAGE_BYTES);
    expect(await touchedPages([process.pid], fstatSync(fd).ino)).to.equal(undefined);
  });

  it('is read ahead into the cache', async () => {
    drop();
    const before = cachedPages();
    await readAhead(path, [
      [0, 300],
      [2_000, 1],
    ]);
    expect(cachedPages() - before).to.be.at.least(301);
  });
});
