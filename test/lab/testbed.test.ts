import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { createTestbed, type Testbed, type TestbedOptions } from '../../src/lab/testbed.js';
import { insideNamespace } from '../../src/linux/netns.js';
import { openPacketSocket } from '../../src/linux/open-packet-socket.js';
import { PacketCounter, SharedLatencyReader } from '../../src/packet/shared-latency.js';
import { letTimePass, until, untilGone } from '../support/waiting.js';

const CAPTURE = fileURLToPath(new URL('../../../data/openNetVM-64B_download.pcap', import.meta.url));
const OWNER = fileURLToPath(new URL('../packet/programs/own-testbed.js', import.meta.url));
const FIREWALL: TestbedOptions = { nfProfile: 'firewall', mode: 'sleep', cpu: 1, housekeepingCpu: 0 };

describe('test bed', () => {
  let bed: Testbed | undefined;
  const create = async (options: Partial<TestbedOptions> = {}) => {
    bed = await createTestbed({ ...FIREWALL, ...options });
    return bed;
  };
  afterEach(async () => {
    await bed?.close();
    bed = undefined;
  });

  for (const mode of ['sleep', 'poll'] as const) {
    it(`carries a real capture through an NF in ${mode} mode without loss, and measures its latency`, async () => {
      // A firewall that lets answers in before it has seen the question: the two take different ways to it.
      const { traffic, nfPid } = await create({ mode, nfConfig: { defaultIn: 'allow' } });
      await traffic.run({ kind: 'capture', path: CAPTURE, packetsPerS: 4000 });
      const report = await traffic.measure(1);
      expect(report.sent).to.be.greaterThan(1000);
      expect(report.received).to.equal(report.sent);
      expect(report).to.include({ lost: 0, duplicates: 0, reordered: 0, missedByReceiver: 0 });
      const { p50, p90, p99, p999, max } = report.latency_us;
      expect(p50).to.be.greaterThan(0);
      expect([p50, p90, p99, p999, max]).to.deep.equal(
        [p50, p90, p99, p999, max].toSorted((a, b) => a! - b!),
      );
      expect(report.lateness_us.p50).to.be.greaterThan(0);
      expect(report.noise_us.max).to.be.greaterThan(0);

      await traffic.stop();
      const reader = new SharedLatencyReader(nfPid);
      reader.read();
      const { received, forwarded, dropped } = PacketCounter;
      expect(reader.counters[forwarded]).to.be.at.least(report.sent);
      expect(reader.counters[received]).to.equal(reader.counters[forwarded]! + reader.counters[dropped]!);
      expect(reader.counts.reduce((sum, count) => sum + count, 0)).to.equal(reader.counters[forwarded]);
      reader.close();
    });
  }

  it('carries traffic both ways, of both IP versions', async () => {
    const { traffic } = await create();
    await traffic.run({ kind: 'poisson', packetsPerS: 4000, flows: 16, ipv6Ratio: 0.5, bothWays: true });
    // Answers pass once the question of their flow has.
    await traffic.measure(0.1);
    const both = await traffic.measure(0.5);
    expect(both.sent).to.be.greaterThan(500);
    expect(both).to.include({ lost: 0, reordered: 0 });
  });

  it('counts what the NF drops as lost', async () => {
    const rules = [{ action: 'deny', protocol: 'udp' }];
    const { traffic } = await create({ nfConfig: { rules } });
    await traffic.run({ kind: 'rate', packetsPerS: 2000 });
    const report = await traffic.measure(0.5);
    expect(report.sent).to.be.greaterThan(100);
    expect(report).to.include({ received: 0, lost: report.sent });
    expect(report.latency_us.p50).to.equal(null);
  });

  it('ends a run with a limit by itself, and starts every window from nothing', async () => {
    const { traffic } = await create();
    await traffic.mark();
    await traffic.run({ kind: 'rate', packetsPerS: 1000, seconds: 0.2 });
    await traffic.ended();
    const first = await traffic.report();
    expect(first.sent + first.notSent).to.equal(200);
    expect(first.received).to.equal(first.sent);
    await traffic.mark();
    expect(await traffic.report(0)).to.include({ sent: 0, received: 0, lost: 0 });
  });

  it('does not read a stalled generator as a slow NF, nor floods it afterwards', async () => {
    const { traffic } = await create();
    await traffic.run({ kind: 'rate', packetsPerS: 2000 });
    await traffic.mark();
    const from = performance.now();
    process.kill(traffic.pid, 'SIGSTOP');
    // So long a stall must not be told as latency.
    await letTimePass(3000);
    process.kill(traffic.pid, 'SIGCONT');
    const report = await traffic.report();
    const mostS = (performance.now() - from) / 1_000;
    expect(report.lateness_us.max).to.be.greaterThan(2_000_000);
    expect(report.latency_us.max).to.be.lessThan(1_500_000);
    expect(report.notSent).to.be.within(5000, 2000 * mostS + 500);
    expect(report.sent).to.be.lessThan(1500);
    expect(report.lost).to.equal(0);
  });

  it('survives frames that are cut short or filled with noise', async () => {
    const { traffic, trafficNamespace, nfPid } = await create();
    const tx = { slots: 256, slotBytes: 2048 };
    const socket = insideNamespace(trafficNamespace.path, () => openPacketSocket({ interface: 'g0', tx }));
    const capture = readFileSync(CAPTURE);
    for (let i = 0; i < 200; i++) {
      const slot = socket.tx.slot();
      const length = 14 + ((i * 7) % 90);
      socket.tx.frames[slot]!.set(capture.subarray(40 + (i % 2) * i, 40 + (i % 2) * i + length));
      socket.tx.commit(length);
      socket.tx.kick();
    }
    socket.close();
    const reader = new SharedLatencyReader(nfPid);
    await until(() => reader.read() === undefined && reader.counters[PacketCounter.received]! >= 200);
    expect(reader.counters[PacketCounter.dropped]).to.be.greaterThan(0);
    reader.close();
    await traffic.run({ kind: 'rate', packetsPerS: 1000, seconds: 0.1 });
    await traffic.ended();
    expect((await traffic.totals()).sent).to.be.greaterThan(0);
  });

  it('goes on with a new NF after the old one was killed', async () => {
    const { traffic } = await create();
    const before = bed!.nfPid;
    await bed!.restartNf();
    expect(bed!.nfPid).to.not.equal(before);
    await traffic.run({ kind: 'rate', packetsPerS: 1000 });
    expect((await traffic.measure(0.3)).received).to.be.greaterThan(0);
  });

  for (const mode of ['sleep', 'poll'] as const) {
    it(`ends the NF with INTERFACE_GONE when its interface disappears, in ${mode} mode`, async () => {
      await create({ mode });
      await bed!.nfNamespace.run('ip', ['link', 'del', 'n1']);
      const error = await bed!.nfEnded();
      expect(error).to.include({ code: 'INTERFACE_GONE' });
      expect(error!.message).to.contain('n1');
    });
  }

  it('tells what is wrong with its options, and leaves nothing', async () => {
    const failure = (options: Partial<TestbedOptions>) =>
      createTestbed({ ...FIREWALL, ...options }).then(
        async (unwanted) => unwanted.close(),
        (thrown) => thrown,
      );
    expect(await failure({ nfProfile: 'absent' })).to.include({ code: 'NOT_FOUND' });
    expect(await failure({ cpu: 4095 })).to.include({ code: 'NO_SUCH_CORE' });
    expect(await failure({ housekeepingCpu: 4095 })).to.include({ code: 'NO_SUCH_CORE' });
    expect(await failure({ nfConfig: { unknown: 1 } })).to.include({ code: 'BAD_CONFIG' });
    await create();
    const absent = await bed!.traffic
      .run({ kind: 'capture', path: '/absent.pcap' })
      .catch((thrown) => thrown);
    expect(absent).to.include({ code: 'NOT_FOUND' });
  });

  it('leaves no process when its owner is killed', async () => {
    const owner = spawn(process.execPath, [OWNER], { stdio: ['ignore', 'pipe', 'inherit'] });
    const line = await new Promise<string>((resolve) =>
      owner.stdout.once('data', (text) => resolve(String(text))),
    );
    const pids = JSON.parse(line) as number[];
    expect(pids).to.have.length(4);
    owner.kill('SIGKILL');
    await Promise.all(pids.map(untilGone));
  });
});
