import { expect } from 'chai';
import { startTicks } from '../../src/linux/process.js';
import { Board } from '../../src/model/board.js';
import type { NfProfile } from '../../src/model/nf-profile.js';
import { Measurements } from '../../src/nf/measurements.js';
import { until } from '../support/waiting.js';

describe('what is measured of an NF', () => {
  let measurements: Measurements;
  const warnings: string[] = [];
  /** What was there at each call of `onReady`. */
  const ready: string[] = [];
  const start = (over: Partial<NfProfile>) => {
    warnings.length = ready.length = 0;
    const profile: NfProfile = {
      ...{ name: 'x', title: 'x', match: { process: 'x' }, mode: 'sleep', sloP99Us: 1, harvest: true },
      latency: { source: 'none' },
      protection: { kind: 'none' },
      ...over,
    };
    const { pid } = process;
    measurements = new Measurements(
      { id: 'x-1', profile, pid, startTicks: startTicks(pid)!, uid: 0, threads: [], cores: [] },
      {
        board: Board.create(1).shared,
        onReady: () =>
          ready.push(`${measurements.tap !== undefined} ${measurements.telemetry !== undefined}`),
        onWarning: (message) => warnings.push(message),
      },
    );
  };
  afterEach(() => measurements.close());

  it('is there when it is said to be, and a fault that lasts is said once', async () => {
    start({
      // Nobody listens at port 9.
      latency: { source: 'probe', probe: { kind: 'udp', target: '127.0.0.1:9', periodMs: 5 } },
      telemetry: { kind: 'dpdk' },
    });
    await until(() => ready.length === 2);
    expect(ready).to.deep.equal(['true false', 'true true']);
    await until(() => measurements.tap!.fault !== undefined && measurements.telemetry!.fault !== undefined);
    await until(() => {
      measurements.reportFaults();
      return warnings.length > 1;
    });
    measurements.reportFaults();
    expect(warnings).to.have.length(2);
    expect(warnings[0]).to.match(/^the probe of x-1 gives nothing now: .*127\.0\.0\.1:9/);
    expect(warnings[1]).to.match(/^the telemetry of x-1 gives nothing now: .*no DPDK telemetry socket/);
  });

  it('that cannot start is said, and the rest starts', async () => {
    start({ latency: { source: 'tap' }, telemetry: { kind: 'ovs' } });
    await until(() => measurements.telemetry !== undefined);
    expect(warnings).to.deep.equal([
      'the tap of x-1 could not start: a tap needs the interfaces `ingress` and `egress`',
    ]);
  });
});
