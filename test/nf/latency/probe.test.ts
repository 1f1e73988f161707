import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { createNamespace, type Namespace } from '../../../src/linux/netns.js';
import { startTicks } from '../../../src/linux/process.js';
import { LatencyBuckets } from '../../../src/model/latency-buckets.js';
import type { ProbeSpec } from '../../../src/model/nf-profile.js';
import { startProbe } from '../../../src/nf/latency/probe.js';
import { type Tap, TapSource } from '../../../src/nf/latency/tap.js';
import { PROBE } from '../../../src/tunables/index.js';
import { until } from '../../support/waiting.js';

describe('latency source `probe`', () => {
  let probe: Tap | undefined;
  let space: Namespace | undefined;
  let server: Socket | undefined;
  afterEach(async () => {
    await probe?.close();
    await space?.close();
    server?.close();
    probe = space = server = undefined;
  });

  const start = async (spec: ProbeSpec, pid = process.pid) => {
    probe = await startProbe({ pid, startTicks: startTicks(pid)! }, { periodMs: 2, ...spec });
    return probe;
  };
  const answers = () => probe!.statistics().matched;

  async function serve(answer: (message: Buffer, count: number) => boolean, port = 0): Promise<string> {
    server = createSocket('udp4').bind(port, '127.0.0.1');
    let count = 0;
    server.on('message', (message, from) => {
      if (answer(message, ++count)) server?.send(message, from.port, from.address);
    });
    await once(server, 'listening');
    return `127.0.0.1:${server.address().port}`;
  }

  it('measures echo requests in the namespace of the NF', async () => {
    space = await createNamespace();
    await start({ kind: 'icmp', target: '127.0.0.1', from: 'nf' }, space.pid);
    const source = new TapSource(probe!.shared, 'probe');
    await until(() => answers() >= 5);
    const into = new LatencyBuckets();
    expect(source.sample(into)).to.be.greaterThan(0);
    expect(source.fault).to.equal(undefined);
    expect(into.quantileNs(0.5)).to.be.within(100, PROBE.timeoutMs * 1e6);
  });

  it('measures datagrams that a service sends back', async () => {
    await start({ kind: 'udp', target: await serve(() => true) });
    await until(() => answers() >= 5);
    expect(probe!.fault).to.equal(undefined);
  });

  it('sends what the service understands; one that never answers is a fault, not a latency', async () => {
    const target = await serve((message) => message.toString('latin1') === 'ping');
    await start({ kind: 'udp', target });
    await until(() => probe!.fault !== undefined);
    expect(probe!.fault).to.match(/127\.0\.0\.1 has not answered a single probe/);
    expect(new TapSource(probe!.shared, 'probe').sample(new LatencyBuckets())).to.equal(0);
    await probe!.close();
    await start({ kind: 'udp', target, payload: Buffer.from('ping').toString('hex') });
    await until(() => answers() >= 3);
    expect(probe!.fault).to.equal(undefined);
  });

  it('counts an answer that does not come as late and lost, and goes on', async () => {
    await start({ kind: 'udp', target: await serve((_, count) => count !== 3) });
    const source = new TapSource(probe!.shared, 'probe');
    await until(() => probe!.statistics().lost >= 1 && answers() >= 6);
    const into = new LatencyBuckets();
    source.sample(into);
    expect(into.quantileNs(1)).to.be.at.least(PROBE.timeoutMs * 1e6 * 0.9);
  });

  it('asks again where nobody listened, and is mended by the first answer', async () => {
    const target = await serve(() => true);
    server!.close();
    await start({ kind: 'udp', target });
    await until(() => probe!.fault !== undefined);
    expect(probe!.fault).to.match(/ECONNREFUSED/);
    await serve(() => true, Number(target.split(':')[1]));
    await until(() => answers() > 0);
    expect(probe!.fault).to.equal(undefined);
  });

  it('a way that is not there is a fault of the source', async () => {
    space = await createNamespace();
    await start({ kind: 'icmp', target: '10.99.0.1', from: 'nf' }, space.pid);
    await until(() => probe!.fault !== undefined);
    expect(probe!.fault).to.match(/10\.99\.0\.1: ENETUNREACH/);
  });

  it('a server that speaks no HTTP is a fault, one that closes each connection is not', async () => {
    const replies = ['220 mail ready\r\n\r\n', 'HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n'];
    let reply = replies[0]!;
    const http = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.end(reply));
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const { port } = http.address() as { port: number };
    try {
      await start({ kind: 'http', target: `http://127.0.0.1:${port}/`, from: 'agent' });
      await until(() => probe!.fault !== undefined);
      expect(probe!.fault).to.match(/does not speak HTTP/);
      reply = replies[1]!;
      await until(() => answers() >= 3);
      expect(probe!.fault).to.equal(undefined);
    } finally {
      http.close();
    }
  });
});
