/** NAPT: round trips with right checksums, one port per inside endpoint, expiry, exhaustion, what it leaves alone. */

import { expect } from 'chai';
import { buildFrame, type FrameSpec } from '../../../src/packet/build.js';
import { type Direction, DROP } from '../../../src/packet/functions/function.js';
import { Nat } from '../../../src/packet/functions/nat.js';
import { type Headers, TCP_ACK, TCP_FIN, TCP_SYN, writeU16 } from '../../../src/packet/headers.js';
import { Random } from '../../../src/packet/random.js';
import { checksumFault, icmpError, parsed, randomAddress, randomSpec, slotOf } from '../frames.js';

const EXTERNAL = (192 << 24) | (2 << 8) | 1;

function send(nat: Nat, spec: FrameSpec, direction: Direction, nowMs = 0): Headers | undefined {
  const frame = buildFrame(spec);
  const slot = slotOf(frame);
  const length = nat.process(slot, frame.length, direction, nowMs);
  if (length === DROP) return undefined;
  expect(checksumFault(slot, length)).to.equal('');
  return parsed(slot, length);
}

function text(word: number): string {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
}

/** The answer of the remote end to what it received. */
function answerTo(spec: FrameSpec, seen: Headers): FrameSpec {
  const echo = spec.protocol === 'icmp-request';
  return {
    ...spec,
    protocol: echo ? 'icmp-reply' : spec.protocol,
    source: spec.destination,
    destination: text(seen.tuple[0]!),
    sourcePort: echo ? seen.sourcePort : seen.destinationPort,
    destinationPort: seen.sourcePort,
  };
}

const UDP: FrameSpec = {
  protocol: 'udp',
  source: '10.0.0.1',
  destination: '198.51.100.9',
  sourcePort: 5000,
  destinationPort: 53,
};

describe('nat', () => {
  it('takes random flows out and back, with checksums that hold under full recomputation', () => {
    const random = new Random(31);
    const nat = new Nat({});
    for (let i = 0; i < 2_000; i++) {
      const protocol = (['udp', 'tcp', 'icmp-request'] as const)[random.below(3)]!;
      const spec = randomSpec(random, {
        version: 4,
        protocol,
        tcpFlags: TCP_ACK,
        noUdpChecksum: random.below(5) === 0,
      });
      const out = send(nat, spec, 0)!;
      expect(out.tuple[0]).to.equal(EXTERNAL);
      expect(out.sourcePort).to.be.at.least(1024);
      const back = send(nat, answerTo(spec, out), 1)!;
      expect(text(back.tuple[4]!)).to.equal(spec.source);
      expect(back.destinationPort).to.equal(spec.sourcePort);
      expect(text(back.tuple[0]!)).to.equal(spec.destination);
    }
    expect(nat.counters.mappingsOpened).to.be.within(1_990, 2_000);
  });

  it('gives each inside endpoint one port for all remotes, and no two the same', () => {
    const nat = new Nat({});
    const ports = new Set<number>();
    for (let i = 0; i < 300; i++) {
      const spec = { ...UDP, source: `10.0.${i >> 8}.${i & 255}` };
      const port = send(nat, spec, 0)!.sourcePort;
      expect(
        send(nat, { ...spec, destination: '198.51.100.77', destinationPort: 9 }, 0)!.sourcePort,
      ).to.equal(port);
      ports.add(port);
    }
    expect(ports.size).to.equal(300);
  });

  it('lets nobody in through a port that is not mapped', () => {
    const nat = new Nat({});
    const port = send(nat, UDP, 0)!.sourcePort;
    const inward = { ...UDP, source: UDP.destination, destination: '192.0.2.1' };
    expect(send(nat, { ...inward, destinationPort: port ^ 1 }, 1)).to.equal(undefined);
    expect(send(nat, { ...inward, destinationPort: port, destination: '192.0.2.2' }, 1)).to.equal(undefined);
    expect(send(nat, { ...inward, destinationPort: port, protocol: 'tcp' }, 1)).to.equal(undefined);
    expect(send(nat, { ...inward, destinationPort: port }, 1)).to.not.equal(undefined);
    expect(nat.counters.noMapping).to.equal(3);
  });

  it('counts exhaustion, and uses ports again after their mappings expired', () => {
    const nat = new Nat({ portLow: 2000, portHigh: 2003, datagramTimeoutMs: 100 });
    const from = (i: number) => ({ ...UDP, sourcePort: 100 + i });
    const ports = [0, 1, 2, 3].map((i) => send(nat, from(i), 0, i)!.sourcePort);
    expect([...ports].sort()).to.deep.equal([2000, 2001, 2002, 2003]);
    expect(send(nat, from(4), 0, 50)).to.equal(undefined);
    expect(nat.counters.portsExhausted).to.equal(1);
    expect(send(nat, { ...from(4), protocol: 'tcp' }, 0, 50), 'TCP has ports of its own').to.not.equal(
      undefined,
    );
    expect(send(nat, from(4), 0, 100)!.sourcePort).to.equal(ports[0]);
    expect(send(nat, from(0), 0, 100)).to.equal(undefined);
    for (let round = 1; round < 50; round++) {
      for (let i = 0; i < 4; i++)
        expect(send(nat, from(10 * round + i), 0, 1000 * round)).to.not.equal(undefined);
    }
    expect(nat.mappings).to.equal(4);
  });

  it('counts a full table and gives the port back', () => {
    const nat = new Nat({ maxFlows: 1, portLow: 2000, portHigh: 2001 });
    send(nat, UDP, 0);
    for (let i = 0; i < 5; i++) expect(send(nat, { ...UDP, sourcePort: 6000 }, 0)).to.equal(undefined);
    expect([nat.counters.tableFull, nat.counters.portsExhausted]).to.deep.equal([5, 0]);
  });

  it('ends a TCP mapping soon after its FIN, unless others use it or a stranger sent it', () => {
    const nat = new Nat({ tcpClosingTimeoutMs: 10, tcpTimeoutMs: 10_000 });
    const tcp: FrameSpec = { ...UDP, protocol: 'tcp', tcpFlags: TCP_SYN };
    const close = { ...tcp, tcpFlags: TCP_FIN | TCP_ACK };
    const opened = send(nat, tcp, 0, 0)!;
    const back = { ...answerTo(tcp, opened), tcpFlags: TCP_SYN | TCP_ACK };
    send(nat, back, 1, 1);
    send(nat, { ...back, source: '203.0.113.1', tcpFlags: TCP_FIN }, 1, 2);
    expect(send(nat, { ...back, tcpFlags: TCP_ACK }, 1, 500)).to.not.equal(undefined);
    send(nat, close, 0, 600);
    expect(send(nat, { ...back, tcpFlags: TCP_ACK }, 1, 620)).to.equal(undefined);
    const again = send(nat, tcp, 0, 700)!;
    send(nat, { ...tcp, destination: '203.0.113.7' }, 0, 701);
    send(nat, close, 0, 702);
    expect(send(nat, { ...answerTo(tcp, again), tcpFlags: TCP_ACK }, 1, 900)).to.not.equal(undefined);
  });

  it('leaves IPv6 and non-IP alone, and drops what has no ports', () => {
    const nat = new Nat({});
    const six = buildFrame({ ...UDP, source: 'fd00::1', destination: 'fd00::2' });
    const slot = slotOf(six);
    expect(nat.process(slot, six.length, 0, 0)).to.equal(six.length);
    expect(slot.subarray(0, six.length)).to.deep.equal(six);
    expect(new Nat({ nonIpv4: 'deny' }).process(slot, six.length, 0, 0)).to.equal(DROP);
    const gre = buildFrame(UDP);
    gre[23] = 47;
    expect(nat.process(gre, gre.length, 0, 0)).to.equal(DROP);
    const fragment = buildFrame(UDP);
    writeU16(fragment, 20, 5);
    expect(nat.process(fragment, fragment.length, 0, 0)).to.equal(DROP);
    const { nonIpv4, untranslatable, fragments } = nat.counters;
    expect([nonIpv4, untranslatable, fragments]).to.deep.equal([1, 1, 1]);
  });

  it('translates ICMP errors with what they quote, both ways, and drops those about nothing it knows', () => {
    const random = new Random(32);
    for (let i = 0; i < 500; i++) {
      const nat = new Nat({ maxFlows: 4 });
      const protocol = (['udp', 'tcp', 'icmp-request'] as const)[random.below(3)]!;
      const spec = randomSpec(random, { version: 4, protocol, tcpFlags: TCP_ACK });
      const sent = buildFrame(spec);
      const slot = slotOf(sent);
      const seen = parsed(slot, nat.process(slot, sent.length, 0, 0));
      const outside = slot.slice(0, seen.l3End);
      const quotedBytes = 8 + 2 * random.below(30);

      const router = randomAddress(random, 4);
      const inward = icmpError(router, '192.0.2.1', outside, quotedBytes);
      // It arrives as if the network had told the inside host about the packet that it sent itself.
      expect(nat.process(inward, inward.length, 1, 0)).to.equal(inward.length);
      expect(checksumFault(inward)).to.equal('');
      expect(inward).to.deep.equal(icmpError(router, spec.source, sent, quotedBytes));

      const answer = answerTo(spec, seen);
      const reached = slotOf(buildFrame(answer));
      const length = nat.process(reached, buildFrame(answer).length, 1, 0);
      const outward = icmpError(spec.source, answer.source, reached.slice(0, length), quotedBytes);
      expect(nat.process(outward, outward.length, 0, 0)).to.equal(outward.length);
      expect(outward).to.deep.equal(icmpError('192.0.2.1', answer.source, buildFrame(answer), quotedBytes));

      const unknown = icmpError(router, '192.0.2.1', sent, quotedBytes);
      expect(nat.process(unknown, unknown.length, 1, 0)).to.equal(DROP);
    }
  });
});
