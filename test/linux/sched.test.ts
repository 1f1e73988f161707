import { type ChildProcess, spawn } from 'node:child_process';
import { cpus } from 'node:os';
import { expect } from 'chai';
import { getAffinity, getScheduling, setAffinity, setScheduling } from '../../src/linux/sched.js';
import { endProcess } from '../../src/linux/tied-process.js';
import { NemoError } from '../../src/model/errors.js';

describe('scheduling of a thread', () => {
  let child: ChildProcess;
  let tid = 0;
  before(() => {
    child = spawn('sleep', ['600'], { stdio: 'ignore' });
    tid = child.pid!;
  });
  after(() => endProcess(child));

  for (const wanted of [
    { policy: 'fifo', priority: 7, nice: 0, resetOnFork: true },
    { policy: 'rr', priority: 3, nice: -1, resetOnFork: false },
    { policy: 'batch', priority: 0, nice: -20, resetOnFork: true },
    { policy: 'idle', priority: 0, nice: 19, resetOnFork: false },
    { policy: 'other', priority: 0, nice: -1, resetOnFork: false },
  ] as const) {
    it(`reads back ${JSON.stringify(wanted)}`, () => {
      setScheduling(tid, wanted);
      expect(getScheduling(tid)).to.deep.equal(wanted);
    });
  }

  it('leaves the nice value alone if none is given', () => {
    setScheduling(tid, { policy: 'other', nice: 5 });
    setScheduling(tid, { policy: 'fifo', priority: 1 });
    expect(getScheduling(tid).nice).to.equal(5);
  });

  it('binds to cores and tells them', function () {
    if (cpus().length < 2) this.skip();
    setAffinity(tid, [1]);
    expect(getAffinity(tid)).to.deep.equal([1]);
    setAffinity(tid, [0, 1]);
    expect(getAffinity(tid)).to.deep.equal([0, 1]);
  });

  it('names the thread and the errno when the kernel refuses', () => {
    expect(() => setScheduling(tid, { policy: 'fifo', priority: 100 })).to.throw(
      NemoError,
      new RegExp(`thread ${tid} \\(fifo 100\\): EINVAL`),
    );
    expect(() => setAffinity(tid, [8000])).to.throw(NemoError, /cores 8000\): EINVAL/);
    expect(() => getScheduling(2 ** 22 + 5)).to.throw(NemoError, /ESRCH/);
  });
});
