/** Boundary: what the gateway counts. Attacker: a client that leaves, and what it holds stays. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import type { Asker } from '../../src/model/asker.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { InProcessBox } from '../dispatch/in-process-box.js';
import { untilText } from '../gateway/http-client.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { until } from '../support/waiting.js';

const HOST = 'Host: localhost\r\n';
const MIB = 2 ** 20;

describe('escape: clients that leave', function () {
  this.timeout(30_000);
  let box: TestBox;
  const open: Socket[] = [];
  beforeEach(async () => {
    box = await startBox({ limits: { bodiesMaxBytes: 8 * MIB } });
    await box.serve('echo', echo);
  });
  afterEach(async () => {
    for (const socket of open.splice(0)) socket.destroy();
    await box.close();
  });
  const dial = async (localAddress = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ port: box.gateway.port, host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined);
    open.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  const send = (socket: Socket, line: string, body: string | Buffer, headers = ''): void => {
    socket.write(`${line} HTTP/1.1\r\n${HOST}${headers}Content-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
  };
  /** Of the answer, to a client of that address. */
  const statusOf = async (bytes: number, address: string): Promise<string> => {
    const socket = await dial(address);
    send(socket, 'POST /function/echo', Buffer.alloc(bytes));
    return (/^HTTP\/1\.1 (\d+)/.exec(await untilText(socket, /^HTTP\/1\.1 \d+/)) ?? [])[1]!;
  };
  const untilTaken = async (bytes: number, address: string): Promise<void> => {
    await until(async () => (await statusOf(bytes, address)) === '200');
  };

  it('give their share back when their calls end, not when they leave all connections', async () => {
    let take = (_sink: ReplySink): void => {};
    const held = new Promise<ReplySink>((resolve) => (take = resolve));
    await box.serve('hold', (_call, sink) => take(sink));
    const socket = await dial();
    send(socket, 'POST /function/hold', Buffer.alloc(3 * MIB));
    const sink = await held;
    const left = new Promise<void>((resolve) => sink.whenLeft!(resolve));
    socket.destroy();
    await left;
    expect(await statusOf(2 * MIB, '127.0.0.1')).to.equal('429');
    expect(await statusOf(2 * MIB, '127.0.0.2'), 'somebody else').to.equal('200');
    sink.onHead(204, {});
    sink.onEnd(TIMELINE);
    await untilTaken(2 * MIB, '127.0.0.1');
  });

  /** Calls of `hold` go to a dispatcher, and from there into a sandbox of the test. */
  const openDispatcher = async (): Promise<InProcessBox> => {
    const inner = new InProcessBox();
    inner.deploy('hold');
    await box.serve('hold', () => undefined);
    const { platform } = box;
    const others = platform.invoke.bind(platform);
    platform.invoke = (call, sink) =>
      call.ref.key === 'hold' ? inner.dispatcher.invoke(call, sink) : others(call, sink);
    return inner;
  };

  it('hold their share until their calls end, also those that had their answer when their time was over', async () => {
    const inner = await openDispatcher();
    const socket = await dial();
    send(socket, 'POST /function/hold', Buffer.alloc(3 * MIB), 'X-Timeout: 50ms\r\n');
    await untilText(socket, /^HTTP\/1\.1 504/);
    expect(inner.inside()).to.deep.equal(['hold']);
    expect(await statusOf(2 * MIB, '127.0.0.1')).to.equal('429');
    inner.live[0]!.answer();
    await untilTaken(2 * MIB, '127.0.0.1');
    await inner.close();
  });

  it('hold their share until their calls end, also those whose answer could not be given on', async () => {
    const inner = await openDispatcher();
    const socket = await dial();
    send(socket, 'POST /function/hold', Buffer.alloc(3 * MIB));
    await until(() => inner.inside().length === 1);
    const { reply } = inner.live[0]!.calls[0]!;
    reply.onHead(999, {});
    await untilText(socket, /^HTTP\/1\.1 500/);
    expect(await statusOf(2 * MIB, '127.0.0.1')).to.equal('429');
    reply.onEnd();
    await untilTaken(2 * MIB, '127.0.0.1');
    await inner.close();
  });

  it('leave deploys behind, whose code counts until they have ended: as it came, as text and as what it says', async () => {
    const { registry } = box.platform;
    const real = registry.deploy.bind(registry);
    let goOn = (): void => {};
    const gate = new Promise<void>((resolve) => (goOn = resolve));
    const begun = new Promise<Asker>((resolve) => {
      registry.deploy = async (input, asker) => {
        resolve(asker!);
        await gate;
        return real(input, asker);
      };
    });
    const socket = await dial();
    send(
      socket,
      'PUT /v1/functions/large',
      JSON.stringify({ code: `${' '.repeat(0.75 * MIB)}export default 1` }),
    );
    const { left } = await begun;
    socket.destroy();
    if (!left!.aborted) await once(left!, 'abort');
    expect(await statusOf(3 * MIB, '127.0.0.2')).to.equal('429');
    goOn();
    await untilTaken(3 * MIB, '127.0.0.2');
  });
});

const TIMELINE = {
  ...{ acceptedMs: 0, dispatchedMs: 0, firstByteMs: 0, endedMs: 0 },
  ...{ start: 'warm' as const, firstInSandbox: false, core: 1, sandboxId: 'sb-1' },
};
