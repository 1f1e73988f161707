import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { expect } from 'chai';
import type { LogLine } from '../../src/model/function.js';
import { GATEWAY_HTTP } from '../../src/tunables/index.js';
import { ask, rawSocket, untilText } from './http-client.js';
import { echo, startBox, type TestBox } from './in-process-platform.js';

describe('logs over HTTP', () => {
  let box: TestBox;
  before(async () => {
    box = await startBox();
  });
  after(() => box.close());
  const print = (functionName: string, text: string): void =>
    box.platform.logs.append({ timeMs: 5, functionName, sandboxId: 'sb-1', stream: 'stdout', text });
  const open = async (path: string): Promise<IncomingMessage> => {
    const outgoing = request(box.gateway.url + path, { agent: false }).end();
    const [incoming] = await once(outgoing, 'response');
    incoming.setEncoding('utf8');
    return incoming;
  };
  const textsOf = (ndjson: string): string[] =>
    ndjson
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as LogLine).text);

  it('gives the last lines, oldest first, and ends', async () => {
    await box.serve('a', echo);
    for (let i = 0; i < 5; i++) print('a', `line ${i}`);
    const answer = await ask(`${box.gateway.url}/v1/functions/a/logs?tail=2`);
    expect(answer.headers['content-type']).to.equal('application/x-ndjson');
    expect(textsOf(answer.body.toString())).to.deep.equal(['line 3', 'line 4']);
    expect((await ask(`${box.gateway.url}/v1/functions/a/logs?tail=0`)).body).to.have.length(0);
    expect((await ask(`${box.gateway.url}/v1/functions/a/logs?tail=-1`)).status).to.equal(400);
  });

  it('follows: the head comes at once, lines as they are printed, the end when the function is removed', async () => {
    await box.serve('b', echo);
    const incoming = await open('/v1/functions/b/logs?follow=1');
    expect(incoming.statusCode).to.equal(200);
    print('a', 'of another');
    print('b', 'now');
    const [text] = await once(incoming, 'data');
    expect(textsOf(text)).to.deep.equal(['now']);
    const ended = once(incoming, 'end');
    await box.platform.registry.remove('b');
    await ended;
  });

  it('stops listening when the client leaves', async () => {
    await box.serve('c', echo);
    let followers = 0;
    const { follow } = box.platform.logs;
    let left: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => {
      left = resolve;
    });
    box.platform.logs.follow = (name, listener) => {
      const stop = follow(name, listener);
      followers++;
      return () => {
        followers--;
        stop();
        left!();
      };
    };
    const incoming = await open('/v1/functions/c/logs?follow=1');
    expect(followers).to.equal(1);
    incoming.on('error', () => undefined);
    incoming.destroy();
    await gone;
    expect(followers).to.equal(0);
    box.platform.logs.follow = follow;
  });

  it('drops lines for a client that does not read, and says how many', async () => {
    await box.serve('d', echo);
    const socket = await rawSocket(box.gateway.port);
    socket.write('GET /v1/functions/d/logs?follow=1&tail=0 HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await untilText(socket, /\r\n\r\n/);
    socket.pause();
    const printed = 3_000;
    for (let i = 0; i < printed; i++) print('d', `${i} ${'x'.repeat(4_000)}`);
    socket.resume();
    // Lines keep coming until one gets through: only then is the number of lost ones known.
    const ticker = setInterval(() => print('d', 'tick'), 5);
    const text = await untilText(socket, /lines lost/);
    clearInterval(ticker);
    socket.destroy();
    const lost = Number(/\((\d+) lines lost/.exec(text)![1]);
    expect(lost).to.be.within(1, printed);
  });

  it('lets no more follow than there are places for, and gives a place that was left to another', async () => {
    await box.serve('e', echo);
    const path = '/v1/functions/e/logs?follow=1';
    const followers: IncomingMessage[] = [];
    while (followers.length < GATEWAY_HTTP.logFollowersMax / 2) followers.push(await open(path));
    const refused = await ask(box.gateway.url + path);
    expect(refused.status).to.equal(429);
    expect(refused.json().error.message).to.match(/as many as may already follow/);
    // Who does not follow needs no place.
    expect((await ask(`${box.gateway.url}/v1/functions/e/logs`)).status).to.equal(200);
    const ends = followers.map((follower) =>
      once(
        follower.on('error', () => undefined),
        'close',
      ),
    );
    followers[0]!.destroy();
    let taken: IncomingMessage;
    do taken = (await open(path)).resume();
    while (taken.statusCode !== 200);
    await box.platform.registry.remove('e');
    for (const follower of followers) follower.resume();
    await Promise.all(ends);
  });

  it('ends open answers when the gateway closes', async () => {
    const closing = await startBox();
    await closing.serve('e', echo);
    const outgoing = request(`${closing.gateway.url}/v1/functions/e/logs?follow=1`, { agent: false }).end();
    const [incoming] = await once(outgoing, 'response');
    incoming.resume();
    await Promise.all([once(incoming, 'end'), closing.close()]);
    expect(incoming.complete).to.equal(true);
  });
});
