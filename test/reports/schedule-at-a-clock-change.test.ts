/**
 * Reported: node-cron/node-cron#509, kelektiv/node-cron#881, robfig/cron#283, librefang/librefang#3828. Where the clock
 * changes, daily calls are left out, an hour of calls is lost, and after a pause all that was missed comes at once, or
 * nothing. The right values are those of cron(8).
 */

import { expect } from 'chai';
import { type CronTriggers, createCronTriggers } from '../../src/triggers/cron.js';
import { readSchedule } from '../../src/triggers/schedule.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';

describe('report: a schedule and a clock that changes', function () {
  this.timeout(20_000);
  const zone = process.env.TZ;
  afterEach(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  for (const [what, timeZone, schedule, after, ...times] of [
    [
      'every half hour, in the hour that comes twice',
      'America/New_York',
      '*/30 * * * *',
      '2026-11-01T05:10',
      '2026-11-01T05:30',
      '2026-11-01T06:00',
      '2026-11-01T06:30',
      '2026-11-01T07:00',
    ],
    [
      'at 1:30, once where it comes twice',
      'America/New_York',
      '30 1 * * *',
      '2026-11-01T05:10',
      '2026-11-01T05:30',
      '2026-11-02T06:30',
    ],
    [
      'at 2:30, on the day that has none',
      'Europe/Rome',
      '30 2 * * *',
      '2026-03-29T00:10',
      '2026-03-29T01:00',
      '2026-03-30T00:30',
    ],
    [
      'at midnight, on the day that has none',
      'America/Sao_Paulo',
      '0 0 * * *',
      '2018-11-04T02:30',
      '2018-11-04T03:00',
      '2018-11-05T02:00',
    ],
    [
      'every quarter, over the hour that is left out',
      'Europe/Rome',
      '*/15 * * * *',
      '2026-03-29T00:40',
      '2026-03-29T00:45',
      '2026-03-29T01:00',
      '2026-03-29T01:15',
    ],
  ] as const)
    it(what, () => {
      process.env.TZ = timeZone;
      const turns = readSchedule(schedule);
      let at = new Date(`${after}Z`);
      const got = times.map(() => {
        at = turns.next(at)!;
        return at.toISOString().slice(0, 16);
      });
      turns.close();
      expect(got).to.deep.equal(times);
    });

  it('says once a year only once a year', () => {
    const turns = readSchedule('0 0 1 1 *');
    const first = turns.next(new Date())!;
    const second = turns.next(first)!;
    turns.close();
    expect(first.getTime()).to.be.greaterThan(Date.now());
    expect(second.getTime() - first.getTime()).to.be.greaterThan(364 * 86_400_000);
  });

  describe('and an agent that was stopped when its time came', () => {
    let box: TestBox;
    let cron: CronTriggers;
    beforeEach(async () => {
      box = await startBox();
      cron = createCronTriggers(box.platform);
    });
    afterEach(async () => {
      cron.close();
      await box.close();
    });

    it('calls late, once for all that were missed', async () => {
      let called = 0;
      const first = new Promise<void>((resolve) => {
        void box.serve('late', (call, sink, timeline) => {
          called += 1;
          echo(call, sink, timeline);
          resolve();
        });
      });
      const due = new Date(Math.ceil((Date.now() + 500) / 1_000) * 1_000);
      const [second, minute, hour] = [due.getSeconds(), due.getMinutes(), due.getHours()];
      await box.platform.registry.deploy({
        name: 'late',
        code: 'export default () => 1;',
        schedule: `${second} ${minute} ${hour} * * *`,
      });
      // Nothing runs meanwhile, as in a box that is suspended.
      const sleeping = new Int32Array(new SharedArrayBuffer(4));
      Atomics.wait(sleeping, 0, 0, due.getTime() + 2_300 - Date.now());
      await first;
      await new Promise(setImmediate);
      expect(called).to.equal(1);
    });
  });
});
