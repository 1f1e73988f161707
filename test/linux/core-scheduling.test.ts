import { expect } from 'chai';
import {
  type CookieCalls,
  coreScheduling,
  kernelCookies,
  setApart,
} from '../../src/linux/core-scheduling.js';

/** A kernel with core scheduling: cookies by pid; 9 has just ended. */
class Cookies implements CookieCalls {
  next = 1n;
  readonly cookies = new Map<number, bigint>([[9, -1n]]);
  refuses = '';
  cookieOf(pid: number) {
    return pid === 9 ? { cookie: 0n, errno: 'ESRCH' } : { cookie: this.cookies.get(pid) ?? 0n, errno: '' };
  }
  giveCookie(pid: number): string {
    if (this.refuses === '') this.cookies.set(pid, this.next++);
    return this.refuses;
  }
}

describe('core scheduling', () => {
  it('gives each process of a sandbox a cookie, once', () => {
    const kernel = new Cookies();
    expect(setApart([1, 2, 9], kernel)).to.equal(true);
    expect(setApart([2, 3], kernel)).to.equal(true);
    expect([1, 2, 3].map((pid) => kernel.cookies.get(pid))).to.deep.equal([1n, 2n, 3n]);
  });

  it('says when a process has none', () => {
    const kernel = new Cookies();
    kernel.refuses = 'EPERM';
    expect(setApart([1], kernel)).to.equal(false);
    kernel.refuses = 'ESRCH';
    expect(setApart([1], kernel)).to.equal(true);
  });

  it('is asked of this kernel only where there are siblings, and is one of three answers', () => {
    const answers = (errno: string) =>
      coreScheduling(true, { ...kernelCookies, cookieOf: () => ({ cookie: 0n, errno }) });
    expect(['', 'ENODEV', 'EINVAL'].map(answers)).to.deep.equal(['on', 'no-smt', 'unsupported']);
    expect(coreScheduling(false)).to.equal('no-smt');
    const { errno } = kernelCookies.cookieOf(0);
    expect(['', 'ENODEV', 'EINVAL']).to.include(errno);
    // Where this kernel can, a process of ours gets a cookie.
    if (errno === '') expect(setApart([process.pid])).to.equal(true);
  });
});
