import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../../src/linux/netns.js';
import { openPacketSocket } from '../../../src/linux/open-packet-socket.js';
import type { PacketSocket } from '../../../src/linux/packet-socket.js';
import { PollSet } from '../../../src/linux/poll.js';
import { endProcess } from '../../../src/linux/tied-process.js';
import { LatencyBuckets } from '../../../src/model/latency-buckets.js';
import { startTap, type Tap, TapSource } from '../../../src/nf/latency/tap.js';
import { type Invariant, tapFilter } from '../../../src/nf/latency/tap-filter.js';
import { buildFrame, type FrameSpec } from '../../../src/packet/build.js';
import { idOf } from '../../support/process-id.js';
import { until } from '../../support/waiting.js';

const HOLDER = fileURLToPath(new URL('../programs/holder.js', import.meta.url));
const BURST = 200;
/** The holder drops every 10th and sends every other 7th twice. */
const DROPPED = Math.ceil(BURST / 10);
const DOUBLED = Math.ceil(BURST / 7) - Math.ceil(BURST / 70);
const HOLD_NS = 20e6;
const UDP: FrameSpec = {
  protocol: 'udp',
  source: '10.0.0.1',
  destination: '10.0.0.2',
  sourcePort: 1000,
  destinationPort: 2000,
};

describe('latency source `tap`', () => {
  let outer: Namespace;
  let inner: Namespace;
  let sender: PacketSocket;
  let nf: ChildProcess | undefined;
  let tap: Tap | undefined;

  beforeEach(async () => {
    [outer, inner] = await Promise.all([createNamespace(), createNamespace()]);
    await connect(outer, 'g0', inner, 'n0');
    await connect(inner, 'n1', outer, 'r0');
    const ring = { slots: 1024, slotBytes: 2048 };
    sender = insideNamespace(outer.path, () => openPacketSocket({ interface: 'g0', tx: ring }));
  });
  afterEach(async () => {
    await tap?.close();
    if (nf !== undefined) await endProcess(nf);
    tap = nf = undefined;
    sender.close();
    await Promise.all([outer.close(), inner.close()]);
  });

  async function startNf(...more: string[]): Promise<void> {
    nf = inner.spawn(process.execPath, [HOLDER, 'n0', 'n1', String(BURST), ...more], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(nf.stdout!, 'data');
  }

  /** Starts the tap and waits until it takes every packet: it begins with one in 256. */
  async function listen(invariant: Invariant): Promise<TapSource> {
    tap = await startTap({ nf: idOf(nf!.pid!), ingress: 'n0', egress: 'n1', invariant });
    await until(() => tap!.statistics().oneIn === 1);
    return new TapSource(tap.shared);
  }

  function send(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      sender.tx.frames[sender.tx.slot()]!.set(frame);
      sender.tx.commit(frame.length);
    }
    sender.tx.kick();
  }

  function burst(spec: Partial<FrameSpec>, payloadBytes: number): Uint8Array[] {
    return Array.from({ length: BURST }, (_, i) => {
      const payload = new Uint8Array(payloadBytes);
      new DataView(payload.buffer).setUint32(payloadBytes >> 1, i);
      return buildFrame({
        ...UDP,
        payload,
        ...spec,
      });
    });
  }

  for (const spec of [
    { protocol: 'udp' },
    { protocol: 'tcp' },
    { protocol: 'tcp', ipv4Options: new Uint8Array(8) },
  ] as const) {
    it(`measures each packet behind translation, loss, duplicates and reordering (${JSON.stringify(spec)})`, async () => {
      await startNf();
      const source = await listen('payload-tail');
      const into = new LatencyBuckets();
      send(burst(spec, 100));
      const want = { matched: BURST - DROPPED, unknown: DOUBLED, lost: DROPPED, ambiguous: 0, missed: 0 };
      await until(() => tap!.statistics().lost >= want.lost);
      expect(tap!.statistics()).to.include(want);
      expect(source.sample(into)).to.equal(want.matched);
      expect(source.sample(into)).to.equal(0);
      // The forwarder held every packet at least so long: a wrong match could be shorter. Buckets are 6 % wide.
      expect(into.quantileNs(0)).to.be.at.least(HOLD_NS * 0.94);
    });
  }

  it('measures nothing rather than something wrong when all packets look the same', async () => {
    await startNf();
    const source = await listen('payload-tail');
    send(Array.from({ length: BURST }, () => burst({}, 40)[0]!));
    await until(() => tap!.statistics().unknown >= BURST - DROPPED + DOUBLED);
    expect(tap!.statistics()).to.include({ matched: 0, ambiguous: BURST });
    expect(source.sample(new LatencyBuckets())).to.equal(0);
  });

  it('five-tuple-payload does not take a translated packet for the same', async () => {
    await startNf();
    await listen('five-tuple-payload');
    send(burst({}, 40));
    await until(() => tap!.statistics().unknown >= BURST - DROPPED + DOUBLED);
    expect(tap!.statistics().matched).to.equal(0);
  });

  it('packet-tail recognises packets inside of a tunnel, whatever their headers become', async () => {
    // The kernel as NF: it forwards from n0 into a VXLAN whose outer packets leave at n1.
    const dev = 'ip link add t0 type vxlan id 5 local 10.2.0.1 remote 10.2.0.2 dstport 4789 dev n1';
    const script = `set -e; echo 1 > /proc/sys/net/ipv4/ip_forward; ip address add 10.1.0.1/24 dev n0
      ip address add 10.2.0.1/24 dev n1; ${dev}; ip address add 10.3.0.1/24 dev t0; ip link set t0 up
      ip neighbour add 10.2.0.2 lladdr 02:00:00:00:00:22 dev n1; ip neighbour add 10.3.0.9 lladdr 02:00:00:00:00:33 dev t0
      ip -o link show n0`;
    const [, destinationMac] = /link\/ether (\S+)/.exec(await inner.run('sh', ['-c', script]))!;
    tap = await startTap({ nf: idOf(inner.pid), ingress: 'n0', egress: 'n1', invariant: 'packet-tail' });
    await until(() => tap!.statistics().oneIn === 1);
    const spec = { source: '10.1.0.9', destination: '10.3.0.9', destinationMac: destinationMac! };
    send(burst(spec, 24));
    await until(() => tap!.statistics().matched >= BURST);
    expect(tap.statistics()).to.include({ matched: BURST, ambiguous: 0 });
    // Shorter ones are padded by some and not by others: nothing is made of them.
    send(burst(spec, 8));
    // The first ends with nothing but zeros, as that of the first burst does.
    send(burst({ ...spec, ttl: 9, sourcePort: 77 }, 25).slice(1));
    await until(() => tap!.statistics().matched >= 2 * BURST - 1);
    expect(tap.statistics()).to.include({ matched: 2 * BURST - 1, ambiguous: 0 });
  });

  it('ipv4-id recognises packets whose payload is nobody’s business', async () => {
    await startNf();
    await listen('ipv4-id');
    send(
      burst({}, 8).map((_, i) =>
        buildFrame({ ...UDP, payload: new Uint8Array(8), ipv4Identification: i + 1 }),
      ),
    );
    await until(() => tap!.statistics().matched >= BURST - DROPPED);
    expect(tap!.statistics()).to.include({ matched: BURST - DROPPED, ambiguous: 0 });
  });

  it('chooses the same packets at both ends when it takes only some', () => {
    const ring = { slots: 1024, slotBytes: 2048 };
    const filter = tapFilter('payload-tail', false, 3);
    const receiver = insideNamespace(inner.path, () =>
      openPacketSocket({ interface: 'n0', rx: ring, filter }),
    );
    try {
      const chosen = (spec: Partial<FrameSpec>): number[] => {
        send(burst(spec, 16));
        const numbers: number[] = [];
        const { rx } = receiver;
        // A frame sent on one end of a veth pair is in the ring of the other when the call returns or soon after.
        const poll = new PollSet([receiver.fd]);
        while (poll.wait(300) > 0) {
          for (; rx.next(); rx.release()) {
            const end = rx.views[rx.slot]!.subarray(rx.offset + rx.length - 16, rx.offset + rx.length);
            numbers.push(new DataView(end.buffer, end.byteOffset).getUint32(8));
          }
        }
        return numbers;
      };
      const plain = chosen({});
      expect(plain.length).to.be.within(BURST / 16, BURST / 4);
      expect(chosen({ source: '192.168.7.7', sourcePort: 7 })).to.deep.equal(plain);
      expect(chosen({ ipv4Options: new Uint8Array(4) })).to.deep.equal(plain);
      expect(chosen({ protocol: 'tcp' })).to.deep.equal(plain);
      expect(chosen({ source: 'fd00::1', destination: 'fd00::2' })).to.deep.equal(plain);
      expect(chosen({ source: 'fd00::1', destination: 'fd00::2', protocol: 'tcp' })).to.deep.equal(plain);
    } finally {
      receiver.close();
    }
  });

  it('stays in the NF’s namespace with its own thread only', async () => {
    await startNf();
    await listen('payload-tail');
    const here = readlinkSync('/proc/self/ns/net');
    const spaces = readdirSync('/proc/self/task').map((tid) => readlinkSync(`/proc/self/task/${tid}/ns/net`));
    expect(spaces.filter((space) => space !== here)).to.deep.equal([readlinkSync(inner.path)]);
    expect(readlinkSync('/proc/thread-self/ns/net')).to.equal(here);
  });

  it('names an interface that is not there, and an NF that is gone', async () => {
    await startNf();
    const rejected = (pid: number, egress: string) =>
      startTap({ nf: idOf(pid), ingress: 'n0', egress, invariant: 'payload-tail' }).then(
        () => expect.fail('started'),
        (error) => error.code as string,
      );
    expect(await rejected(nf!.pid!, 'nope0')).to.equal('NO_SUCH_INTERFACE');
    expect(await rejected(2 ** 22 + 1, 'n1')).to.equal('NOT_FOUND');
  });

  it('an interface that disappears is a fault of the source', async () => {
    await startNf();
    const source = await listen('payload-tail');
    await inner.run('ip', ['link', 'del', 'n1']);
    await until(() => {
      source.sample(new LatencyBuckets());
      return source.fault !== undefined;
    });
    expect(source.fault).to.match(/n1 is no longer there/);
  });
});
