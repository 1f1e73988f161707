/**
 * What the kernel tells beside a packet (packet(7) and linux/if_packet.h: tp_status, tp_vlan_tci; virtio 1.3, 5.1.6), and
 * what of it an NF must keep: traffic of real programs through each reference NF, with the offloads that veth has by default.
 */

import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { FUNCTION_NAMES } from '../../src/packet/functions/index.js';
import { hasVlanDevices, TrafficWorld, type WorldOptions } from '../support/traffic-world.js';

const BULK_BYTES = 8 * 1024 * 1024;

/** Answers with bytes that repeat at no power of two, so that a lost or doubled segment shows. */
const SERVER = `
  const body = Buffer.alloc(${BULK_BYTES}, 'abcdefghijklmnopqrstuvwxyz0123456');
  require('node:http').createServer((request, response) => {
    if (request.method === 'GET') return response.end(request.url === '/bulk' ? body : 'hello');
    const hash = require('node:crypto').createHash('sha256');
    request.on('data', (bytes) => hash.update(bytes)).on('end', () => response.end(hash.digest('hex')));
  }).listen(8080, '::', () => console.log('ready'));
`;
const EXPECTED = createHash('sha256')
  .update(Buffer.alloc(BULK_BYTES, 'abcdefghijklmnopqrstuvwxyz0123456'))
  .digest('hex');

const serve = (world: TrafficWorld) => world.serve(process.execPath, ['-e', SERVER]);
const url = (world: TrafficWorld, version: 4 | 6, path: string) =>
  `http://${version === 4 ? world.address(4) : `[${world.address(6)}]`}:8080${path}`;
const curl = (world: TrafficWorld, ...args: string[]) =>
  world.near.run('curl', ['-sS', '-g', '--max-time', '20', ...args]);
const ping = async (world: TrafficWorld, version: 4 | 6, ...args: string[]) => {
  const asked = ['-c', '3', '-i', '0.05', '-W', '2', ...args, world.address(version)];
  expect(await world.near.run('ping', asked)).to.match(/, [1-3] received/);
};
const bulk = async (world: TrafficWorld, version: 4 | 6) => {
  const sum = await world.near.run('sh', [
    '-c',
    `curl -sS -g --max-time 30 '${url(world, version, '/bulk')}' | sha256sum`,
  ]);
  expect(sum.slice(0, 64), 'download').to.equal(EXPECTED);
  const script = `curl -sS -g --max-time 30 '${url(world, version, '/bulk')}' | curl -sS -g --max-time 30 -T - '${url(world, version, '/up')}'`;
  expect(await world.near.run('sh', ['-c', script]), 'upload').to.equal(EXPECTED);
};

/** In Python, whose sockets can send extension headers: UDP answered as it came. */
const ECHO_SERVER = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', 7))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(65535)
    s.sendto(data, peer)
`;
const ECHO_CLIENT = `
import socket, sys
address, size, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
if how == 'options':
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
if how == 'segments': # UDP_SEGMENT
    s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
data = bytes(i % 251 for i in range(size))
s.sendto(data, (address, 7))
back = b''
while len(back) < size:
    back += s.recv(65535)
print(size, 'equal' if back == data else 'other', end='')
`;
const serveEcho = (world: TrafficWorld) => world.serve('python3', ['-c', ECHO_SERVER]);
const echo = (
  world: TrafficWorld,
  version: 4 | 6,
  bytes: number,
  how: 'plain' | 'options' | 'segments' = 'plain',
) => world.near.run('python3', ['-c', ECHO_CLIENT, world.address(version), String(bytes), how]);

interface Rule {
  what: string;
  world?: Omit<WorldOptions, 'nf'>;
  /** NFs that do not carry it, by design. */
  except?: readonly string[];
  act: (world: TrafficWorld) => Promise<unknown>;
}

const RULES: Rule[] = [
  // A load balancer of TCP and UDP leaves the rest to those whom it is addressed to.
  { what: 'ping, IPv4', except: ['lb'], act: (world) => ping(world, 4) },
  { what: 'ping, IPv6', except: ['lb'], act: (world) => ping(world, 6) },
  {
    what: 'TP_STATUS_CSUMNOTREADY: a TCP handshake and a small answer, IPv4',
    act: async (world) => {
      await serve(world);
      expect(await curl(world, url(world, 4, '/'))).to.equal('hello');
    },
  },
  {
    what: 'TP_STATUS_CSUMNOTREADY: a TCP handshake and a small answer, IPv6',
    act: async (world) => {
      await serve(world);
      expect(await curl(world, url(world, 6, '/'))).to.equal('hello');
    },
  },
  {
    what: 'VIRTIO_NET_HDR_GSO_TCPV4: a bulk transfer both ways',
    act: async (world) => {
      await serve(world);
      await bulk(world, 4);
    },
  },
  {
    what: 'VIRTIO_NET_HDR_GSO_TCPV6: a bulk transfer both ways',
    act: async (world) => {
      await serve(world);
      await bulk(world, 6);
    },
  },
  {
    what: 'VIRTIO_NET_HDR_GSO_UDP_L4: datagrams sent in one piece (UDP_SEGMENT)',
    act: async (world) => {
      await serveEcho(world);
      for (const version of [4, 6] as const)
        expect(await echo(world, version, 7500, 'segments')).to.equal('7500 equal');
    },
  },
  {
    what: 'TP_STATUS_VLAN_VALID: 802.1Q, with full segments',
    world: { vlans: ['802.1Q 100'] },
    act: async (world) => {
      await serve(world);
      await bulk(world, 4);
    },
  },
  {
    what: 'TP_STATUS_VLAN_TPID_VALID: 802.1ad, with full segments',
    world: { vlans: ['802.1ad 200'] },
    act: async (world) => {
      await serve(world);
      await bulk(world, 4);
    },
  },
  {
    what: 'QinQ, both tags kept, with segments as long as the interface carries',
    world: { vlans: ['802.1ad 200', '802.1Q 100'], mtu: 1504 },
    act: async (world) => {
      await serve(world);
      await bulk(world, 4);
    },
  },
  {
    what: 'RFC 791, 3.2: fragments, IPv4, there and back',
    act: async (world) => {
      await serveEcho(world);
      expect(await echo(world, 4, 5000)).to.equal('5000 equal');
    },
  },
  {
    what: 'RFC 8200, 4.5: fragments, IPv6, there and back',
    act: async (world) => {
      await serveEcho(world);
      expect(await echo(world, 6, 5000)).to.equal('5000 equal');
    },
  },
  {
    what: 'RFC 8200, 4.6: a destination options header before UDP',
    act: async (world) => {
      await serveEcho(world);
      expect(await echo(world, 6, 500, 'options')).to.equal('500 equal');
    },
  },
  {
    what: 'jumbo frames, longer than a slot of the ring',
    world: { mtu: 9000 },
    // It keeps to frames of 1,514 bytes unless told otherwise.
    except: ['lb', 'tunnel'],
    act: (world) => ping(world, 4, '-s', '8900', '-M', 'do'),
  },
  {
    what: 'jumbo frames of TCP',
    world: { mtu: 9000 },
    except: ['tunnel'],
    act: async (world) => {
      await serve(world);
      await bulk(world, 4);
    },
  },
];

describe('conformance: real traffic through the reference NFs', () => {
  let world: TrafficWorld | undefined;
  afterEach(async () => {
    await world?.close();
    world = undefined;
  });

  for (const nf of FUNCTION_NAMES) {
    for (const { what, world: options, except, act } of RULES) {
      if (except?.includes(nf)) continue;
      it(`${nf}: ${what}`, async function () {
        // Also without VLAN devices the tags of frames are looked at: see vlan-tags.test.ts.
        if (options?.vlans !== undefined && !(await hasVlanDevices())) return this.skip();
        world = await TrafficWorld.create({ nf, ...options });
        await act(world);
      });
    }
  }
});
