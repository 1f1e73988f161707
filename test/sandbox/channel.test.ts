import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import type { NemoError } from '../../src/model/errors.js';
import { functionRef } from '../../src/model/function-ref.js';
import { FrameDecoder, FrameType, FrameWriter } from '../../src/runner/frames.js';
import { Channel } from '../../src/sandbox/channel.js';
import { CHANNEL } from '../../src/tunables/index.js';

/** A peer that may send anything; the channel is the real one, over a real socket. */
describe('the agent facing a hostile sandbox', () => {
  let server: Server;
  let peer: Socket;
  let agent: Socket;
  let channel: Channel;
  let told: string[];
  let violated: Promise<string>;
  let forge: FrameWriter;
  let received: number[];

  beforeEach(async () => {
    const path = `\0nemo-test-channel-${process.pid}`;
    server = createServer().listen(path);
    const accepted = once(server, 'connection');
    agent = connect(path);
    [peer] = (await accepted) as [Socket];
    told = [];
    violated = new Promise((resolve) => {
      channel = new Channel(agent, {
        onReady: () => told.push('ready'),
        onLoaded: () => told.push('loaded'),
        onLoadFailed: (error) => told.push(`${error.code} ${error.message}`),
        onViolation: resolve,
        onFault: (error) => told.push(`${error.code} ${error.message}`),
      });
    });
    forge = new FrameWriter((bytes) => peer.write(bytes));
    received = [];
    const decoder = new FrameDecoder((header) => {
      if (header.type === FrameType.call) received.push(header.callId);
      peer.emit('call');
    });
    peer.on('data', (bytes: Buffer) => decoder.push(bytes));
  });
  afterEach(() => {
    agent.destroy();
    peer.destroy();
    server.close();
  });

  /** Sends a call and lets `answer` forge what comes back; resolves with what the caller saw. */
  async function exchange(answer: (callId: number) => void): Promise<unknown[]> {
    const seen: unknown[] = [];
    const ended = new Promise<void>((resolve) => {
      channel.call(
        {
          callId: 'x',
          ref: functionRef('f'),
          method: 'GET',
          path: '/',
          query: '',
          headers: {},
          body: Buffer.alloc(0),
        },
        1_000,
        {
          onHead: (status, headers) => seen.push(['head', status, headers]),
          onChunk: (chunk) => seen.push(['chunk', chunk.toString()]),
          onEnd: () => resolve(void seen.push('end')),
          onError: (error) => resolve(void seen.push(error)),
        },
      );
    });
    await once(peer, 'call');
    answer(received.at(-1)!);
    forge.flush();
    await ended;
    return seen;
  }

  const reply = (id: number, text = 'good') => forge.add(FrameType.reply, 1, 0, id, 0, '', text);
  const GOOD = [
    ['head', 200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': '4' }],
    ['chunk', 'good'],
    'end',
  ];

  it('ignores and counts answers to calls that it never made, and types that it does not know', async () => {
    const seen = await exchange((id) => {
      reply(id + 1, 'evil');
      reply(0, 'evil');
      forge.add(FrameType.error, 0, 0, 99, 0, '{}', '');
      forge.add(200, 0, 0, id, 0, '', 'evil');
      forge.add(FrameType.chunk, 0, 0, id, 0, '', 'early');
      forge.add(FrameType.end, 0, 0, id, 0, '', '');
      reply(id);
      reply(id, 'twice');
    });
    expect(seen).to.deep.equal(GOOD);
    await exchange((id) => reply(id));
    expect(channel.strayFrames).to.equal(7);
    expect(channel.inFlight).to.equal(0);
  });

  it('takes no head that HTTP would not', async () => {
    const seen = await exchange((id) => {
      for (const [status, headers] of [
        [99, '{}'],
        [1000, '{}'],
        [200, '[]'],
        [200, 'null'],
        [200, '{'],
        [200, '{"a":1}'],
        [200, '{"a b":"x"}'],
        [200, '{"a":"x\\r\\nset-cookie: evil"}'],
        [200, JSON.stringify(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`h${i}`, ''])))],
      ] as const) {
        forge.add(FrameType.head, 0, status, id, 0, headers, '');
      }
      forge.add(
        FrameType.head,
        0,
        201,
        id,
        0,
        '{"__proto__":"x","Transfer-Encoding":"chunked","x-a":"1\\t2"}',
        '',
      );
      forge.add(FrameType.head, 0, 500, id, 0, '{}', '');
      reply(id, 'late');
      forge.add(FrameType.chunk, 0, 0, id, 0, '', 'part');
      forge.add(FrameType.end, 0, 0, id, 0, '', '');
    });
    expect(seen).to.deep.equal([['head', 201, { 'x-a': '1\t2' }], ['chunk', 'part'], 'end']);
    expect(channel.strayFrames).to.equal(11);
  });

  it("takes only the error codes that are a function's to give, and bounds their text", async () => {
    const meta = { code: 'INTERNAL', name: 5, message: 'm'.repeat(50_000), stack: {} };
    const [error] = (await exchange((id) => {
      forge.add(FrameType.error, 0, 0, id, 0, JSON.stringify(meta), '');
    })) as [NemoError];
    expect(error.code).to.equal('FUNCTION_ERROR');
    expect(error.message.length).to.be.lessThan(5_000);
    const [bare] = (await exchange((id) => forge.add(FrameType.error, 0, 0, id, 0, 'no json', ''))) as [
      NemoError,
    ];
    expect(bare.code).to.equal('FUNCTION_ERROR');
  });

  it('gives up on lengths that cannot be', async () => {
    const header = Buffer.alloc(20, 0xff);
    peer.write(header);
    expect(await violated).to.include('claims');
  });

  it('gives up on a flood of frames without a meaning', async () => {
    for (let i = 0; i < CHANNEL.strayFramesMax; i++) forge.add(99, 0, 0, 0, 0, '', '');
    forge.flush();
    expect(await violated).to.include('nobody asked for');
  });
});
