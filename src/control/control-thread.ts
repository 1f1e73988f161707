/**
 * Entry of the control thread: the 1 kHz loop. It sleeps on the board's wake word, so that work arriving while the
 * loop is slow brings it to full rate at once. Nothing in a tick waits for the main thread.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { CgroupThrottle } from '../linux/cgroup/throttle.js';
import { gettid } from '../linux/libc.js';
import { ThreadStat } from '../linux/procfs.js';
import { setAffinity, setScheduling } from '../linux/sched.js';
import { LatencyBuckets } from '../packet/latency-buckets.js';
import { CONTROL } from '../tunables.js';
import { Board, Core, Head } from './board.js';
import { CoreWatch } from './core-watch.js';
import type { ControlNf, ControlThreadData, FromControl, ToControl } from './messages.js';
import { NfWatch } from './nf-watch.js';

const data = workerData as ControlThreadData;
const port = parentPort!;
const board = Board.over(data.board);
const slots = new Int32Array(data.slots);
const cores = data.functionCores.map((core) => new CoreWatch(core, board, slots, data));
const nfs = new Map<string, NfWatch>();
const sandboxCore = new Map<number, CoreWatch>();
const lateness = new LatencyBuckets();
const say = (message: FromControl): void => port.postMessage(message);

/** Monotonic nanoseconds as a number: exact for 104 days of uptime of this process. */
const nowNs = (): number => performance.now() * 1e6;

function start(): void {
  const tid = gettid();
  let scheduling = 'default';
  try {
    setAffinity(tid, [data.controlCore]);
    setScheduling(tid, { policy: 'fifo', priority: CONTROL.fifoPriority, resetOnFork: true });
    scheduling = `fifo:${CONTROL.fifoPriority}`;
  } catch (thrown) {
    say({ kind: 'warning', message: `the control thread runs at default scheduling: ${String(thrown)}` });
  }
  const self = new ThreadStat(process.pid, tid);
  say({ kind: 'ready', tid, scheduling });

  let last = nowNs();
  let nextReport = last;
  for (;;) {
    const active = board.head(Head.activeWanted) === 1;
    const periodMs = active ? CONTROL.periodUs / 1000 : CONTROL.idlePeriodMs;
    const wakeValue = Atomics.load(board.wakeWord, 0);
    const sleepFrom = nowNs();
    const sleepMs = Math.max(0.05, periodMs - (sleepFrom - last) / 1e6);
    const woken = Atomics.wait(board.wakeWord, 0, wakeValue, sleepMs);
    for (let m = receiveMessageOnPort(port); m !== undefined; m = receiveMessageOnPort(port)) {
      if (!handle(m.message as ToControl)) return;
    }
    const now = nowNs();
    if (woken === 'timed-out' && active) lateness.record(now - sleepFrom - sleepMs * 1e6);
    tick(now - last, now, last);
    last = now;
    if (now >= nextReport) {
      nextReport = now + (active ? 1e9 / CONTROL.reportHz : 1e9);
      report(now, self);
    }
  }
}

function tick(wallNs: number, now: number, previous: number): void {
  for (const nf of nfs.values()) nf.tick();
  for (let i = 0; i < cores.length; i++) {
    const core = cores[i]!;
    const change = core.tick(wallNs, now / 1e6);
    if (change !== undefined) {
      const reactionUs = (nowNs() - previous) / 1000;
      board.set(core.core, Core.lastReactionUs, reactionUs);
      say({ kind: 'level', core: core.core, ...change, reactionUs });
    }
  }
  board.setHead(Head.ticks, board.head(Head.ticks) + 1);
}

let reportTicks = 0;
let reportAt = nowNs();

function report(now: number, self: ThreadStat): void {
  if (self.read()) board.setHead(Head.controlCpuNs, self.runNs);
  const ticks = board.head(Head.ticks);
  board.setHead(Head.hz, ((ticks - reportTicks) * 1e9) / Math.max(1, now - reportAt));
  reportTicks = ticks;
  reportAt = now;
  const late = lateness.quantileNs(0.99);
  board.setHead(Head.latenessP99Us, Number.isNaN(late) ? 0 : late / 1000);
  lateness.clear();
  const stats = [...nfs.values()].map((nf) => nf.report(now));
  for (const core of cores) {
    const mine = stats.filter((_, index) => core.nfs.includes([...nfs.values()][index]!));
    const worst = (key: 'p50Us' | 'p99Us' | 'p999Us'): number =>
      mine.reduce((most, stat) => Math.max(most, stat[key] ?? Number.NaN), Number.NEGATIVE_INFINITY);
    board.set(core.core, Core.p50Us, worst('p50Us'));
    board.set(core.core, Core.p99Us, worst('p99Us'));
    board.set(core.core, Core.p999Us, worst('p999Us'));
    board.set(core.core, Core.idleWindowP50Us, core.model.idleWindowUs(0.5));
    board.set(core.core, Core.idleWindowP90Us, core.model.idleWindowUs(0.9));
  }
  if (stats.length > 0) say({ kind: 'nf-stats', stats });
}

/** False when the thread has to end. */
function handle(message: ToControl): boolean {
  switch (message.kind) {
    case 'nfs':
      setNfs(message.nfs);
      return true;
    case 'sandbox-add': {
      const watch = cores.find((core) => core.core === message.core);
      if (watch === undefined) return true;
      const throttle = new CgroupThrottle(message.handle);
      watch.sandboxes.push({ slot: message.slot, throttle, cpuNs: throttle.readCpuNs(), wasBusy: true });
      sandboxCore.set(message.slot, watch);
      watch.apply();
      return true;
    }
    case 'sandbox-move': {
      const from = sandboxCore.get(message.slot);
      const to = cores.find((core) => core.core === message.core);
      const entry = from === undefined ? undefined : take(from, message.slot);
      if (entry === undefined) return true;
      if (to === undefined) {
        // It left the function cores: nothing here may hold it back any more.
        entry.throttle.thaw();
        entry.throttle.setQuotaRatio(null);
        entry.throttle.close();
        sandboxCore.delete(message.slot);
      } else {
        to.sandboxes.push(entry);
        sandboxCore.set(message.slot, to);
        to.apply();
      }
      return true;
    }
    case 'sandbox-remove': {
      const from = sandboxCore.get(message.slot);
      if (from !== undefined) take(from, message.slot)?.throttle.close();
      sandboxCore.delete(message.slot);
      return true;
    }
    case 'stop':
      for (const nf of nfs.values()) nf.close();
      for (const core of cores) for (const sandbox of core.sandboxes) sandbox.throttle.close();
      return false;
  }
}

function take(core: CoreWatch, slot: number) {
  const index = core.sandboxes.findIndex((sandbox) => sandbox.slot === slot);
  return index < 0 ? undefined : core.sandboxes.splice(index, 1)[0];
}

function setNfs(wanted: ControlNf[]): void {
  for (const [id, watch] of nfs) {
    const now = wanted.find((nf) => nf.id === id);
    if (now !== undefined && shapeOf(now) === shapeOf(watch.nf)) continue;
    watch.close();
    nfs.delete(id);
  }
  for (const nf of wanted) {
    if (nfs.has(nf.id)) continue;
    try {
      nfs.set(nf.id, new NfWatch(nf, nowNs()));
    } catch (thrown) {
      say({ kind: 'warning', message: `${nf.id} cannot be watched: ${String(thrown)}` });
    }
  }
  for (const core of cores) {
    core.setNfs([...nfs.values()].filter((watch) => watch.nf.cores.includes(core.core)));
  }
}

/** What of an NF cannot change without its watch being made anew. */
function shapeOf(nf: ControlNf): string {
  return [nf.tids, nf.cores, nf.sloUs, nf.harvest, nf.source?.kind].join(';');
}

start();
