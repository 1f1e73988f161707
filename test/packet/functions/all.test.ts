/** What every network function promises: it runs unconfigured on real traffic, complains clearly, survives anything. */

import { expect } from 'chai';
import { NemoError } from '../../../src/model/errors.js';
import { type Direction, DROP } from '../../../src/packet/functions/function.js';
import { createFunction, FUNCTION_NAMES } from '../../../src/packet/functions/index.js';
import { readCapture } from '../../../src/packet/pcap.js';
import { Random } from '../../../src/packet/random.js';
import {
  checksumFault,
  icmpError,
  mutate,
  parsed,
  randomAddress,
  randomFrame,
  SLOT_BYTES,
} from '../frames.js';

const { packets } = readCapture('data/openNetVM-64B_download.pcap');

describe('every network function', () => {
  for (const name of FUNCTION_NAMES) {
    it(`${name}: forwards the whole real capture with an empty configuration, checksums right`, () => {
      for (const config of [{}, undefined]) {
        const nf = createFunction(name, config);
        const slot = new Uint8Array(SLOT_BYTES);
        for (const { bytes, timeNs } of packets) {
          slot.set(bytes);
          const length = nf.process(slot, bytes.length, 0, timeNs / 1e6);
          if (length === DROP || checksumFault(slot, length) !== '') {
            expect.fail(`${length} ${JSON.stringify(nf.counters)}`);
          }
        }
        expect(nf.counters).to.include({ forwarded: packets.length, dropped: 0 });
      }
    });

    it(`${name}: survives damaged frames in both directions and counts each frame once`, () => {
      const random = new Random(name.length);
      const nf = createFunction(
        name,
        name === 'tunnel' ? { local: '10.0.0.1', remote: '10.0.0.1' } : configOf(name),
      );
      const slot = new Uint8Array(SLOT_BYTES);
      const rounds = name === 'tunnel' ? 12_000 : 40_000;
      let now = 0;
      for (let i = 0; i < rounds; i++) {
        let bytes = i % 3 === 0 ? randomFrame(random) : packets[random.below(packets.length)]!.bytes;
        if (i % 7 === 0) {
          const version = parsed(bytes).version as 4 | 6;
          bytes = icmpError(
            randomAddress(random, version),
            randomAddress(random, version),
            bytes,
            8 + random.below(40),
          );
        }
        slot.set(bytes);
        let length = random.below(4) === 0 ? bytes.length : mutate(random, slot, bytes.length);
        now += random.below(100) === 0 ? random.below(200_000) : random.unit();
        let direction = random.below(2) as Direction;
        // What one direction made goes back damaged: so the tunnel's inner checks are reached.
        for (let pass = 0; pass < 2; pass++) {
          const result = nf.process(slot, length, direction, now);
          const fits = Number.isInteger(result) && (result === DROP || (result > 0 && result <= SLOT_BYTES));
          if (!fits)
            expect.fail(
              `returned ${result} for ${length} bytes: ${Buffer.from(slot.subarray(0, length)).toString('hex')}`,
            );
          if (result === DROP) break;
          length = pass === 0 && random.below(2) === 0 ? mutate(random, slot, result) : result;
          direction = (1 - direction) as Direction;
          if (pass === 1) break;
        }
      }
      const { forwarded, dropped, broken } = nf.counters as Record<
        'forwarded' | 'dropped' | 'broken',
        number
      >;
      expect(forwarded + dropped).to.be.within(rounds, 2 * rounds);
      expect(forwarded).to.be.above(0);
      expect(broken).to.be.within(1, dropped);
    });

    it(`${name}: drops frames of no, one and impossible length`, () => {
      const nf = createFunction(name, {});
      for (const length of [0, 1, 13, SLOT_BYTES + 1]) {
        for (const direction of [0, 1] as const) {
          const result = nf.process(new Uint8Array(SLOT_BYTES), length, direction, 0);
          if (name !== 'tunnel' || direction === 1 || length > SLOT_BYTES)
            expect(result, `${length}`).to.equal(DROP);
        }
      }
    });

    it(`${name}: names a setting that is not there, or is wrong`, () => {
      expect(() => createFunction(name, { colour: 'red' }))
        .to.throw(NemoError, `${name}: there is no setting "colour"`)
        .with.property('code', 'BAD_CONFIG');
      for (const bad of [[], 'text', 5]) {
        expect(() => createFunction(name, bad))
          .to.throw(NemoError, 'expected an object')
          .with.property('code', 'BAD_CONFIG');
      }
    });
  }

  it('names the exact key of a wrong value and what was expected', () => {
    const cases: Array<[string, unknown, string]> = [
      ['firewall', { maxFlows: 0 }, 'firewall.maxFlows: expected a whole number from 1'],
      ['firewall', { rules: [{}, { source: '10.0.0.0/33' }] }, 'firewall.rules[1].source: expected a prefix'],
      ['firewall', { rules: [{ sourcePorts: '9-1' }] }, 'firewall.rules[0].sourcePorts: expected a port'],
      [
        'firewall',
        { rules: [{ source: '10.0.0.0/8', destination: 'fd00::/8' }] },
        'firewall.rules[0].destination',
      ],
      ['firewall', { rules: [{ protocol: 'icmp', sourcePorts: 1 }] }, 'firewall.rules[0].protocol'],
      ['firewall', { rules: [{ actoin: 'deny' }] }, 'firewall.rules[0]: there is no setting "actoin"'],
      ['firewall', { rules: 'none' }, 'firewall.rules: expected a list'],
      ['nat', { externalAddress: 'fd00::1' }, 'nat.externalAddress: expected an IPv4 address'],
      ['nat', { portLow: 5000, portHigh: 4000 }, 'nat.portHigh'],
      ['lb', { services: [{ backends: [] }] }, 'lb.services[0].backends'],
      [
        'lb',
        { services: [{ backends: [{ address: '10.0.0.1' }, { address: 'fd00::1' }] }] },
        'lb.services[0].backends[1].address',
      ],
      [
        'lb',
        { services: [{ backends: [{ address: '10.0.0.1' }, { address: '10.0.0.1' }] }] },
        'lb.services[0].backends[1].name',
      ],
      ['router', { routes: [{ mac: '02:00:00:00:00:01' }] }, 'router.routes[0].prefix'],
      ['router', { routes: [{ prefix: '::/0', mac: 'x' }] }, 'router.routes[0].mac'],
      ['tunnel', { key: 'abc' }, 'tunnel.key: expected 32 or 64'],
      ['tunnel', { local: 'fd00::1' }, 'tunnel.remote'],
      ['tunnel', { replayWindow: 100 }, 'tunnel.replayWindow'],
    ];
    for (const [name, config, message] of cases) {
      expect(() => createFunction(name, config), message)
        .to.throw(NemoError, message)
        .with.property('code', 'BAD_CONFIG');
    }
    expect(() => createFunction('toaster', {}))
      .to.throw(NemoError)
      .with.property('code', 'NOT_FOUND');
    expect(() => createFunction('constructor', {}))
      .to.throw(NemoError)
      .with.property('code', 'NOT_FOUND');
  });
});

/** Small tables, so that bounds and expiry are met; rules, so that they are searched. */
function configOf(name: string): unknown {
  const flows = { maxFlows: 500, datagramTimeoutMs: 5_000, tcpTimeoutMs: 60_000 };
  if (name === 'firewall')
    return { ...flows, rules: [{ destinationPorts: '0-99' }, { source: '2000::/3' }], defaultIn: 'allow' };
  if (name === 'nat') return { ...flows, portLow: 2000, portHigh: 2100 };
  return name === 'lb' ? flows : {};
}
