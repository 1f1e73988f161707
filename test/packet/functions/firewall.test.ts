/** The firewall: rule order, addresses, ports, versions; statefulness; expiry and bound of its flows. */

import { expect } from 'chai';
import { buildFrame, type FrameSpec } from '../../../src/packet/build.js';
import { Firewall } from '../../../src/packet/functions/firewall.js';
import { type Direction, DROP } from '../../../src/packet/functions/function.js';
import { TCP_ACK, TCP_FIN, TCP_SYN } from '../../../src/packet/headers.js';
import { Random } from '../../../src/packet/random.js';
import { icmpError, randomAddress, randomSpec, slotOf } from '../frames.js';

function passes(firewall: Firewall, spec: FrameSpec, direction: Direction, nowMs = 0): boolean {
  const frame = buildFrame(spec);
  const slot = slotOf(frame);
  const result = firewall.process(slot, frame.length, direction, nowMs);
  if (result !== DROP) {
    expect(result).to.equal(frame.length);
    expect(slot.subarray(0, result)).to.deep.equal(frame);
  }
  return result !== DROP;
}

function answerTo(spec: FrameSpec): FrameSpec {
  const echo = {
    'icmp-request': 'icmp-reply',
    'icmp-reply': 'icmp-request',
    udp: 'udp',
    tcp: 'tcp',
  } as const;
  const swapped = {
    ...spec,
    source: spec.destination,
    destination: spec.source,
    protocol: echo[spec.protocol],
  };
  if (spec.protocol !== 'udp' && spec.protocol !== 'tcp') return swapped;
  return { ...swapped, sourcePort: spec.destinationPort!, destinationPort: spec.sourcePort! };
}

const WEB: FrameSpec = {
  protocol: 'tcp',
  source: '10.0.0.1',
  destination: '192.0.2.80',
  sourcePort: 40_000,
  destinationPort: 80,
  tcpFlags: TCP_SYN,
};

describe('firewall', () => {
  it('lets answers of flows from the inside in, and nothing else, for all protocols and versions', () => {
    const random = new Random(21);
    const firewall = new Firewall({});
    for (let i = 0; i < 500; i++) {
      const spec = randomSpec(random);
      expect(passes(firewall, answerTo(spec), 1)).to.equal(false);
      expect(passes(firewall, spec, 0)).to.equal(true);
      expect(passes(firewall, answerTo(spec), 1)).to.equal(true);
      expect(passes(firewall, spec, 1), 'the flow itself from the wrong side').to.equal(false);
      if (spec.protocol === 'tcp') {
        expect(passes(firewall, { ...answerTo(spec), destinationPort: spec.sourcePort! ^ 1 }, 1)).to.equal(
          false,
        );
      }
    }
    const { forwarded, dropped, denied } = firewall.counters;
    expect(forwarded).to.equal(1000);
    expect(denied).to.equal(dropped);
  });

  it('takes the first rule that fits', () => {
    const firewall = new Firewall({
      rules: [
        { action: 'allow', source: '10.1.0.0/16', destinationPorts: 22, protocol: 'tcp' },
        { action: 'deny', source: '10.0.0.0/8', destinationPorts: '1-1023' },
        { action: 'deny', protocol: 'icmp' },
        {
          action: 'allow',
          direction: 'in',
          destination: '192.0.2.80',
          destinationPorts: 443,
          protocol: 'tcp',
        },
        { action: 'deny', source: 'fd00:1::/33' },
      ],
    });
    const to = (port: number, source = '10.0.0.1') => ({ ...WEB, source, destinationPort: port });
    expect(passes(firewall, to(22, '10.1.2.3'), 0)).to.equal(true);
    expect(passes(firewall, to(22), 0)).to.equal(false);
    expect(passes(firewall, { ...to(22, '10.1.2.3'), protocol: 'udp' }, 0)).to.equal(false);
    expect(passes(firewall, to(1023), 0)).to.equal(false);
    expect(passes(firewall, to(1024), 0)).to.equal(true);
    expect(passes(firewall, to(22, '11.0.0.1'), 0)).to.equal(true);
    expect(passes(firewall, { ...WEB, protocol: 'icmp-request' }, 0)).to.equal(false);
    expect(passes(firewall, to(443, '203.0.113.9'), 1)).to.equal(true);
    expect(passes(firewall, to(80, '203.0.113.9'), 1)).to.equal(false);
    const six = (source: string): FrameSpec => ({ ...WEB, source, destination: 'fd99::1' });
    expect(passes(firewall, six('fd00:1::1'), 0)).to.equal(false);
    expect(passes(firewall, six('fd00:1:7fff::1'), 0)).to.equal(false);
    expect(passes(firewall, six('fd00:1:8000::1'), 0)).to.equal(true);
    expect(passes(firewall, { ...six('fd00:1::1'), protocol: 'icmp-request' }, 0)).to.equal(false);
  });

  it('agrees with a naive reading of random rules', () => {
    const random = new Random(22);
    const kinds = ['any', 'tcp', 'udp', 'icmp'] as const;
    for (let round = 0; round < 40; round++) {
      const rules = Array.from({ length: 12 }, () => {
        const protocol = kinds[random.below(4)]!;
        const bits = random.below(5);
        const low = random.below(8);
        return {
          action: random.below(2) === 0 ? 'allow' : 'deny',
          direction: ['out', 'in', 'both'][random.below(3)]!,
          protocol,
          ...(random.below(2) === 0 ? { source: `10.0.0.${random.below(16)}/${32 - bits}` } : {}),
          ...(protocol !== 'icmp' && random.below(2) === 0
            ? { destinationPorts: `${low}-${low + random.below(8)}` }
            : {}),
        };
      });
      for (let i = 0; i < 100; i++) {
        const protocol = (['tcp', 'udp', 'icmp-request'] as const)[random.below(3)]!;
        const last = random.below(16);
        const port = random.below(16);
        const direction = random.below(2) as Direction;
        const kind = protocol === 'icmp-request' ? 'icmp' : protocol;
        const fit = rules.find((rule) => {
          const [base, bits] = (rule.source ?? '10.0.0.0/28').split('/') as [string, string];
          const shift = 32 - Number(bits);
          const [low, high] = (rule.destinationPorts ?? '0-99').split('-').map(Number) as [number, number];
          return (
            (rule.protocol === 'any' || rule.protocol === kind) &&
            (rule.direction === 'both' || (rule.direction === 'out') === (direction === 0)) &&
            Number(base.split('.')[3]) >> shift === last >> shift &&
            (rule.destinationPorts === undefined || (kind !== 'icmp' && port >= low && port <= high))
          );
        });
        const expected = fit === undefined ? direction === 0 : fit.action === 'allow';
        const spec = { ...WEB, protocol, source: `10.0.0.${last}`, destinationPort: port };
        expect(
          passes(new Firewall({ rules, maxFlows: 1 }), spec, direction),
          JSON.stringify({ rules, spec, direction }),
        ).to.equal(expected);
      }
    }
  });

  it('forgets silent flows: datagrams, half-open and closed connections sooner than established ones', () => {
    const firewall = new Firewall({
      datagramTimeoutMs: 100,
      tcpOpeningTimeoutMs: 50,
      tcpTimeoutMs: 1000,
      tcpClosingTimeoutMs: 20,
    });
    const udp: FrameSpec = { ...WEB, protocol: 'udp' };
    passes(firewall, udp, 0, 0);
    expect(passes(firewall, answerTo(udp), 1, 99)).to.equal(true);
    expect(passes(firewall, answerTo(udp), 1, 198)).to.equal(true);
    expect(passes(firewall, answerTo(udp), 1, 298)).to.equal(false);
    const answer = { ...answerTo(WEB), tcpFlags: TCP_SYN | TCP_ACK };
    passes(firewall, WEB, 0, 300);
    expect(passes(firewall, answer, 1, 350)).to.equal(false);
    passes(firewall, WEB, 0, 400);
    expect(passes(firewall, answer, 1, 449)).to.equal(true);
    expect(passes(firewall, { ...answer, tcpFlags: TCP_ACK }, 1, 1440)).to.equal(true);
    expect(passes(firewall, { ...answer, tcpFlags: TCP_FIN | TCP_ACK }, 1, 1441)).to.equal(true);
    expect(passes(firewall, { ...answer, tcpFlags: TCP_ACK }, 1, 1470)).to.equal(false);
  });

  it('drops and counts new flows when the table is full; old ones go on', () => {
    const firewall = new Firewall({ maxFlows: 2 });
    const from = (port: number) => ({ ...WEB, sourcePort: port });
    expect([1, 2, 3].map((port) => passes(firewall, from(port), 0))).to.deep.equal([true, true, false]);
    expect(passes(firewall, answerTo(from(2)), 1)).to.equal(true);
    expect(firewall.counters.tableFull).to.equal(1);
    expect(firewall.flows).to.equal(2);
  });

  it('passes ARP and neighbour discovery, without which no address is found', () => {
    const firewall = new Firewall({});
    const arp = new Uint8Array(60);
    arp.set([0x08, 0x06], 12);
    expect(firewall.process(arp, 60, 1, 0)).to.equal(60);
    const solicitation = buildFrame({
      protocol: 'icmp-request',
      source: 'fe80::1',
      destination: 'ff02::1',
      ttl: 255,
    });
    solicitation[54] = 135;
    expect(firewall.process(solicitation, solicitation.length, 1, 0)).to.equal(solicitation.length);
    solicitation[21] = 254;
    expect(firewall.process(solicitation, solicitation.length, 1, 0)).to.equal(DROP);
    expect(new Firewall({ nonIp: 'deny' }).process(arp, 60, 1, 0)).to.equal(DROP);
  });

  it('lets ICMP errors in that are about a flow, and no others', () => {
    const random = new Random(23);
    for (const version of [4, 6] as const) {
      const firewall = new Firewall({});
      for (let i = 0; i < 200; i++) {
        const spec = randomSpec(random, { version });
        const router = randomAddress(random, version);
        const error = icmpError(router, spec.source, buildFrame(spec), 8 + random.below(20));
        expect(firewall.process(error, error.length, 1, 0)).to.equal(DROP);
        passes(firewall, spec, 0);
        expect(firewall.process(error, error.length, 1, 0)).to.equal(error.length);
        const other = icmpError(router, spec.source, buildFrame(answerTo(spec)), 8);
        expect(firewall.process(other, other.length, 1, 0)).to.equal(DROP);
      }
      expect(firewall.counters.related).to.equal(200);
    }
  });
});
