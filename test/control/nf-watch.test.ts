import { once } from 'node:events';
import { expect } from 'chai';
import { NfWatch } from '../../src/control/nf-watch.js';
import { endProcess, spawnTied } from '../../src/linux/tied-process.js';
import { TelemetryMemory } from '../../src/nf/telemetry/memory.js';
import { CONTROL } from '../../src/tunables/index.js';
import { NF_CORE, startSpinner } from '../support/control-setup.js';
import { until } from '../support/waiting.js';

describe('what the loop hears of an NF by its telemetry', () => {
  let watch: NfWatch | undefined;
  let telemetry: TelemetryMemory;
  afterEach(() => watch?.close());

  const start = (): NfWatch => {
    telemetry = TelemetryMemory.create();
    const { shared } = telemetry;
    const nothing = { cores: [], tids: [], packetTids: [], harvest: true, softirq: false, source: undefined };
    watch = new NfWatch({ id: 'nf', pid: process.pid, sloUs: 500, telemetry: shared, ...nothing }, 0);
    return watch;
  };
  const tell = (drops: number): void =>
    telemetry.publish({ packetsPerS: 1000, dropsPerS: 0, busyRatio: Number.NaN, packets: 1, drops });
  /** Whether its own drops were a sign in the time in which every sensor has its turn twice. */
  const dropped = (functionsRan: boolean): boolean => {
    let seen = false;
    for (let i = 0; i < CONTROL.queueTicks * 8; i++) {
      watch!.functionsRan = functionsRan;
      watch!.tick(false, 1e6);
      seen ||= /itself dropped/.test(watch!.queueSign ?? '');
    }
    return seen;
  };

  it('takes packets that it drops while functions run for a sign, and no others', () => {
    start();
    expect(dropped(true), 'nothing known yet').to.equal(false);
    tell(70_000);
    expect(dropped(true), 'what was before').to.equal(false);
    tell(70_005);
    expect(dropped(true), 'five more').to.equal(true);
    expect(dropped(true), 'no more').to.equal(false);
    expect(dropped(false)).to.equal(false);
    tell(90_000);
    expect(dropped(false), 'without functions').to.equal(false);
  });

  it('is not confused by telemetry that breaks, or counters that are cleared', () => {
    start();
    tell(1_000);
    dropped(true);
    telemetry.fail('hangs');
    expect(dropped(true)).to.equal(false);
    telemetry.mend();
    tell(0);
    expect(dropped(true), 'cleared').to.equal(false);
    tell(4);
    expect(dropped(true)).to.equal(true);
  });
});

describe('an NF of whose packets nothing is known', function () {
  this.timeout(30_000);

  it('is judged by how long its threads wait for their core', async () => {
    const spinner = await startSpinner();
    const code = 'setInterval(() => {}, 2); console.log(1)';
    const nf = spawnTied('taskset', ['-c', `${NF_CORE}`, 'nice', '-n', '19', process.execPath, '-e', code], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(nf.stdout!, 'data');
    const pid = nf.pid!;
    const more = { cores: [NF_CORE], tids: [pid], packetTids: [pid], harvest: true, softirq: false };
    const watch = new NfWatch({ id: 'nf', pid, sloUs: 100, source: undefined, ...more }, 0);
    try {
      await until(() => {
        watch.tick(false, 5e6);
        return watch.aboveSlo > 0;
      });
      expect(watch.packets).to.be.at.least(watch.aboveSlo);
      spinner.kill('SIGKILL');
      // Alone on its core it does not wait. What it waited for until then is told once more at most.
      let well = 0;
      await until(() => {
        watch.tick(false, 5e6);
        if (watch.packets > 0 && watch.aboveSlo === 0) well++;
        return well > 3;
      });
    } finally {
      watch.close();
      spinner.kill('SIGKILL');
      await endProcess(nf);
    }
  });
});
