import { expect } from 'chai';
import { NfWatch } from '../../src/control/nf-watch.js';
import { TelemetryMemory } from '../../src/nf/telemetry/memory.js';
import { CONTROL } from '../../src/tunables.js';

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
