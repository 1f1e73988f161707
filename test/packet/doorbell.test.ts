/** Doorbells: when they ring, that they wake whoever sleeps, and that a file that went bad hurts nobody. */

import { truncateSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { Sleeper } from '../../src/control/sleeper.js';
import { FutexWait } from '../../src/linux/futex.js';
import { LatencyBuckets } from '../../src/model/latency-buckets.js';
import { ReportedSource } from '../../src/nf/latency/reported.js';
import type { Bell } from '../../src/nf/latency-source.js';
import { BELL_WORDS, BellWord, bellLimit, Doorbell } from '../../src/packet/doorbell.js';
import { SharedLatencyWriter } from '../../src/packet/shared-latency.js';
import { DOORBELL } from '../../src/tunables/index.js';

const LIMIT_NS = 500_000;
const GAP_NS = DOORBELL.gapUs * 1_000;

describe('a doorbell', () => {
  /** Lets packets go, each [latency], at one moment; returns how often it has rung. */
  function bell(limitNs: number) {
    const words = new Int32Array(new SharedArrayBuffer(4 * BELL_WORDS));
    const doorbell = new Doorbell(words);
    words[BellWord.limitNs] = limitNs;
    doorbell.done(0);
    return (nowNs: number, ...latencies: number[]): number => {
      for (const latencyNs of latencies) doorbell.passed(latencyNs);
      doorbell.done(nowNs);
      return words[BellWord.rings]! - 1;
    };
  }
  const late = LIMIT_NS * 2;

  it('rings once several packets are late, and not for packets in time', () => {
    const pass = bell(LIMIT_NS);
    expect(pass(1e6, LIMIT_NS / 2, LIMIT_NS, late)).to.equal(0);
    expect(pass(2e6, late)).to.equal(0);
    expect(pass(3e6, late)).to.equal(1);
    expect(pass(4e6, LIMIT_NS / 2)).to.equal(1);
  });

  it('rings at most once a gap, and again when the clock was set back', () => {
    const pass = bell(LIMIT_NS);
    expect(pass(10e6, late, late, late)).to.equal(1);
    expect(pass(10e6 + GAP_NS / 2, late, late, late)).to.equal(1);
    expect(pass(10e6 + GAP_NS, late)).to.equal(2);
    expect(pass(1e6, late, late, late)).to.equal(3);
  });

  it('does not ring for late packets that are far apart, nor if nobody listens', () => {
    const pass = bell(LIMIT_NS);
    for (let i = 1; i < 10; i++) expect(pass(i * 100e6, late)).to.equal(0);
    const unheard = bell(0);
    expect(unheard(1e6, late, late, late, late)).to.equal(0);
  });

  it('takes limits of any size', () => {
    expect(bellLimit(0.5)).to.equal(1);
    expect(bellLimit(10e9)).to.equal(0xffffffff);
    const pass = bell(bellLimit(10e9));
    expect(pass(1e6, 2e9, 2e9, 2e9)).to.equal(0);
    expect(pass(2e6, 11e9, 11e9, 11e9)).to.equal(1);
  });
});

describe('the doorbell of an NF that reports', () => {
  let writer: SharedLatencyWriter;
  let source: ReportedSource;
  beforeEach(() => {
    writer = SharedLatencyWriter.create();
    source = new ReportedSource(process.pid);
  });
  afterEach(() => {
    source.close();
    writer.close();
  });
  const sample = () => source.sample(new LatencyBuckets());
  /** Asks the NF to ring, and hears that it does. */
  function listen(): Bell {
    source.bell(LIMIT_NS);
    sample();
    return source.bell(LIMIT_NS)!;
  }
  function ring(): void {
    writer.doorbell.done(0);
    for (let i = 0; i < DOORBELL.lateMin; i++) writer.doorbell.passed(LIMIT_NS * 2);
    writer.doorbell.done(1e9);
  }

  it('is heard only once the NF was asked', () => {
    expect(source.bell(LIMIT_NS)).to.equal(undefined);
    sample();
    const before = source.bell(LIMIT_NS)!.value;
    ring();
    sample();
    expect(source.bell(LIMIT_NS)!.value).to.equal(before + 1);
  });

  it('wakes a thread that sleeps on the file', async () => {
    const { address, value } = listen();
    const script = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData.futex).then(({ FutexWait }) => {
        const wait = new FutexWait();
        wait.add(workerData.address, workerData.value);
        parentPort.postMessage('ready');
        parentPort.postMessage(wait.wait(1e18));
      });`;
    const futex = new URL('../../src/linux/futex.js', import.meta.url).href;
    const worker = new Worker(script, { eval: true, workerData: { futex, address, value } });
    const said: unknown[] = [];
    await new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.on('message', (message) => {
        said.push(message);
        if (message === 'ready') ring();
        else resolve();
      });
    });
    expect(said).to.deep.equal(['ready', 'woken']);
    await worker.terminate();
  });

  it('of a file that was shortened is no bell, and the sleeper goes by its clock', () => {
    const bell = listen();
    truncateSync(writer.path, 0);
    const futexes = new FutexWait();
    futexes.add(bell.address, bell.value);
    expect(futexes.wait(1e18)).to.equal('refused');
    const word = new Int32Array(new SharedArrayBuffer(4));
    const nowNs = () => performance.now() * 1e6;
    const sleeper = new Sleeper(word, nowNs);
    sleeper.prepare(0);
    sleeper.onBell(bell);
    expect(sleeper.sleep(0, nowNs() + 1e6)).to.equal(true);
    sample();
    expect(source.fault).to.include('too short');
    expect(source.bell(LIMIT_NS)).to.equal(undefined);
  });
});

describe('the sleep of the loop', () => {
  it('ends when its time is over, not before, and at once if the word has changed', () => {
    const word = new Int32Array(new SharedArrayBuffer(4));
    const nowNs = () => performance.now() * 1e6;
    const sleeper = new Sleeper(word, nowNs);
    const until = nowNs() + 3e6;
    sleeper.prepare(0);
    expect(sleeper.sleep(0, until)).to.equal(true);
    // The clocks are compared to some microseconds.
    expect(nowNs()).to.be.at.least(until - 0.1e6);
    Atomics.add(word, 0, 1);
    sleeper.prepare(0);
    expect(sleeper.sleep(0, nowNs() + 1e15)).to.equal(false);
  });
});
