/**
 * Entry of the control thread: the 1 kHz loop. It sleeps on the board's wake word, so that work arriving while the
 * loop is slow brings it to full rate at once, and on the doorbells of NFs, so that it looks as soon as a packet is
 * late. Nothing in a tick waits for the main thread.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { gettid } from '../linux/libc.js';
import { ThreadStat } from '../linux/procfs.js';
import { setAffinity, setScheduling } from '../linux/sched.js';
import { Board, Core, Head } from '../model/board.js';
import { LatencyBuckets } from '../model/latency-buckets.js';
import type { Change } from '../policy/conflict/decide.js';
import { CONTROL } from '../tunables/index.js';
import { CoreController } from './core-controller.js';
import { publishReport } from './core-report.js';
import type { ControlNf, ControlThreadData, FromControl, ToControl } from './messages.js';
import { NfWatch } from './nf-watch.js';
import { OthersWatch } from './others-watch.js';
import { Reactions } from './reactions.js';
import { Patience, Sleeper } from './sleeper.js';
import { WatchedSandboxes } from './watched-sandboxes.js';

const data = workerData as ControlThreadData;
const port = parentPort!;
const board = Board.over(data.board);
const slots = new Int32Array(data.slots);
const cores = data.functionCores.map((core) => new CoreController(core, board, slots, data));
const nfs = new Map<string, NfWatch>();
/** The same, to walk through in a tick without an iterator. */
let nfList: NfWatch[] = [];
const lateness = new LatencyBuckets();
const reactions = new Reactions(board);
const patience = new Patience();
const others = new OthersWatch(cores);
/** A bell rang since the last tick. */
let rang = false;
const say = (message: FromControl): void => port.postMessage(message);

/** Monotonic nanoseconds as a number: exact for 104 days of uptime of this process. */
const nowNs = (): number => performance.now() * 1e6;
const sleeper = new Sleeper(board.wakeWord, nowNs);
const sandboxes = new WatchedSandboxes(cores, () => nowNs() / 1e6);

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
  let lookedAt = last;
  let reported = Number.NEGATIVE_INFINITY;
  // Not the present value: messages sent before this thread ran are waiting in the port.
  let seenWord = -1;
  for (;;) {
    const active = board.head(Head.activeWanted) === 1 || someRun();
    const calm = active && allCalm();
    const due =
      last +
      (calm ? CONTROL.calmPeriodUs * 1e3 : active ? CONTROL.periodUs * 1e3 : CONTROL.idlePeriodMs * 1e6);
    const sleepFrom = nowNs();
    const deaf = sleepFrom < patience.listensNs;
    sleeper.prepare(seenWord);
    if (!deaf) listen();
    const timedOut = sleeper.sleep(seenWord, deaf ? Math.min(due, patience.listensNs) : due);
    // Each message also changes the wake word, and reading the word costs less than looking into the port.
    const told = Atomics.load(board.wakeWord, 0) !== seenWord;
    if (told) {
      seenWord = Atomics.load(board.wakeWord, 0);
      for (let m = receiveMessageOnPort(port); m !== undefined; m = receiveMessageOnPort(port)) {
        if (!handle(m.message as ToControl)) return;
      }
    }
    const now = nowNs();
    if (!told && now < due) {
      // Otherwise bells were ignored for a while, and count again from now on.
      if (!timedOut) {
        look(now, lookedAt);
        lookedAt = now;
      }
      continue;
    }
    const lateNs = timedOut && active ? now - due : 0;
    if (lateNs > 0) lateness.record(lateNs);
    tick(now - last, now, lookedAt, lateNs, calm && !told);
    last = now;
    lookedAt = now;
    if (now - reported >= (active ? 1e9 / CONTROL.reportHz : 1e9)) {
      reported = now;
      report(now, self);
    }
  }
}

/** Functions that compute on after their calls are watched as closely. */
function someRun(): boolean {
  for (let i = 0; i < cores.length; i++) if (cores[i]!.functionsRun) return true;
  return false;
}

function allCalm(): boolean {
  for (let i = 0; i < cores.length; i++) if (!cores[i]!.calm) return false;
  return true;
}

/** Adds the bells that may end the coming sleep. */
function listen(): void {
  for (let i = 0; i < cores.length; i++) {
    const core = cores[i]!;
    if (!core.listens) continue;
    for (let j = 0; j < core.nfs.length; j++) {
      const bell = core.nfs[j]!.bell();
      if (bell !== undefined) sleeper.onBell(bell);
    }
  }
}

/** Somebody rang before the tick was due. `previous`: when it was looked at last. */
function look(now: number, previous: number): void {
  let answered = false;
  for (let i = 0; i < nfList.length; i++) nfList[i]!.sampleIfRung();
  for (let i = 0; i < cores.length; i++) {
    const core = cores[i]!;
    const decision = core.sampleBetweenTicks(now / 1e6);
    if (decision === undefined) continue;
    answered = true;
    answer(core, decision, previous);
  }
  rang = true;
  if (!answered) patience.rangForNothing(now);
  board.setHead(Head.bellLooks, board.head(Head.bellLooks) + 1);
}

function tick(wallNs: number, now: number, previous: number, lateNs: number, calm: boolean): void {
  for (let i = 0; i < nfList.length; i++) nfList[i]!.tick(calm, wallNs);
  for (let i = 0; i < cores.length; i++) {
    const core = cores[i]!;
    const decision = core.tick(wallNs, now / 1e6, lateNs);
    if (decision !== undefined) answer(core, decision, previous);
  }
  if (!rang) patience.calm();
  rang = false;
  board.setHead(Head.ticks, board.head(Head.ticks) + 1);
}

/** Reports a decision, after it was applied. */
function answer(core: CoreController, decision: Change, previous: number): void {
  const reactionUs = (nowNs() - previous) / 1000;
  const down = decision.kind === 'hold' || decision.to > decision.from;
  const packet = down ? reactions.record(core, reactionUs * 1000) : undefined;
  const event = { core: core.core, cause: decision.cause, reactionUs, ...(packet && { packet }) };
  const slotOf = (index: number): number => core.sandboxes[index]!.slot;
  if (decision.kind === 'hold') {
    say({ kind: 'culprit', slot: slotOf(decision.index), holdMs: decision.holdMs, ...event });
  } else {
    const { from, to, ran } = decision;
    say({ kind: 'level', from, to, ...event, ...(ran && { ran: ran.map(slotOf) }) });
  }
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
  reactions.publish();
  others.sample(now, ({ core, others: { taken, ratio } }) =>
    say({ kind: 'taken', core, taken, othersRatio: ratio }),
  );
  const stats = nfList.map((nf) => nf.report(now));
  for (const core of cores) {
    const mine = stats.filter((_, index) => core.nfs.includes(nfList[index]!));
    publishReport(board, core, mine);
    tellUnmeetable(core);
    core.markCounters(now / 1e6);
  }
  if (stats.length > 0) say({ kind: 'nf-stats', stats });
}

const unmeetable = new Set<number>();

/** Warns once when it begins, so that the operator looks at the NF and not at the functions. */
function tellUnmeetable({ core }: CoreController): void {
  const now = board.get(core, Core.unmeetable) === 1;
  if (now && !unmeetable.has(core)) {
    const slo = board.get(core, Core.sloUs);
    const message = `core ${core}: the SLO of ${slo} us is not met even without functions; nothing is harvested there until it is`;
    say({ kind: 'warning', message });
  }
  if (now) unmeetable.add(core);
  else if (board.get(core, Core.throttleLevel) === 0) unmeetable.delete(core);
}

/** False when the thread has to end. */
function handle(message: ToControl): boolean {
  switch (message.kind) {
    case 'nfs':
      setNfs(message.nfs, message.barred);
      return true;
    case 'sandbox-add':
      sandboxes.add(message.slot, message.handle, message.core);
      return true;
    case 'sandbox-move':
      sandboxes.move(message.slot, message.core);
      return true;
    case 'sandbox-remove':
      sandboxes.remove(message.slot);
      return true;
    case 'stop':
      for (const nf of nfs.values()) nf.close();
      sandboxes.close();
      return false;
  }
}

function setNfs(wanted: ControlNf[], barred: readonly number[]): void {
  for (const [id, watch] of nfs) {
    const now = wanted.find((nf) => nf.id === id);
    if (now !== undefined && watch.isOf(now)) continue;
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
  nfList = [...nfs.values()];
  for (const core of cores) {
    const mine = nfList.filter((watch) => watch.nf.cores.includes(core.core));
    core.setNfs(mine, barred.includes(core.core));
  }
}

start();
