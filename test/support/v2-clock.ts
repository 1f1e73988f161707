/**
 * In the virtual machine, whose clock is its own: CLOCK_REALTIME is set forth and back by minutes while a function is
 * harvested beside an NF that measures its packets by that clock. This process stands for the NF.
 */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import koffi from 'koffi';
import { Control } from '../../src/control/control.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { realtimeNs, toUnixNs } from '../../src/linux/clock.js';
import { Core, Head } from '../../src/model/board.js';
import { SharedLatencyWriter } from '../../src/packet/shared-latency.js';
import { startIn } from './in-cgroup.js';
import { until } from './waiting.js';

const CLOCK_REALTIME = 0;
const CORE = 1;
const SLO_US = 50_000;
const WAIT_MS = 60_000;
const clockSettime = koffi.load('libc.so.6').func('int clock_settime(int, const void *)');

function stepClock(seconds: number): void {
  const now = Date.now();
  const time = BigInt64Array.of(BigInt(Math.floor(now / 1000) + seconds), BigInt((now % 1000) * 1e6));
  assert.equal(clockSettime(CLOCK_REALTIME, time), 0);
  assert.ok(Math.abs(Date.now() - now - seconds * 1000) < 60_000);
}

export async function harvestsThroughClockSteps(driver: CgroupDriver): Promise<void> {
  mkdirSync('/dev/shm', { recursive: true });
  const group = driver.create('clock', { cpus: [CORE] });
  startIn(group, ['/bin/sh', '-c', 'while :; do :; done']);
  const report = SharedLatencyWriter.create();
  const control = await Control.start({
    ...{ coreCount: CORE + 1, controlCore: 0, functionCores: [CORE], runningPerCore: 1 },
    ...{ conflict: true, ladder: 'exponential-backoff', predict: true, shareRatio: null },
  });
  let latencyNs = 0;
  const packets = setInterval(() => {
    for (let i = 0; i < 20; i++) {
      report.buckets.recordPacket(latencyNs, toUnixNs(realtimeNs() - latencyNs));
      report.doorbell.passed(latencyNs);
    }
    report.doorbell.done(realtimeNs());
  }, 2);
  const { board } = control;
  const level = () => board.get(CORE, Core.throttleLevel);
  const eventually = (what: string, seen: () => boolean) => until(seen, () => what);
  try {
    control.setNfs([
      {
        ...{ id: 'nf', pid: process.pid, cores: [CORE], tids: [], packetTids: [], sloUs: SLO_US },
        ...{ harvest: true, softirq: false, source: { kind: 'reported', pid: process.pid } },
      },
    ]);
    control.addSandbox(CORE, group.handle);
    for (const seconds of [600, -1_200, 600]) {
      stepClock(seconds);
      const what = `after a step of ${seconds} s`;
      const [ticks, harvestedNs] = [board.head(Head.ticks), board.get(CORE, Core.functionNs)];
      latencyNs = 1e6;
      await eventually(`the loop goes on ${what}`, () => board.head(Head.ticks) > ticks + 50);
      await eventually(`harvesting ${what}`, () => board.get(CORE, Core.functionNs) > harvestedNs + 50e6);
      latencyNs = SLO_US * 2_000;
      await eventually(`a throttle ${what}`, () => level() > 0);
      latencyNs = 1e6;
      await eventually(`the recovery ${what}`, () => level() === 0);
    }
    // What a step makes of a reaction's time is left out, never shown.
    assert.ok(board.head(Head.packetReactionP99Us) < WAIT_MS * 1_000);
  } finally {
    clearInterval(packets);
    await control.stop();
    report.close();
  }
}
