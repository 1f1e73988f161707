/** Boundary: what the gateway has for all of its clients. Attacker: one client, or one tenant, that takes it all. */

import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { AgentEvents } from '../../src/agent/agent-events.js';
import type { Call, CallTimeline } from '../../src/model/call.js';
import { NemoError } from '../../src/model/errors.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { CallCounts } from '../../src/telemetry/call-counts.js';
import { createEventLog } from '../../src/telemetry/event-log.js';
import { createMetrics } from '../../src/telemetry/metrics.js';
import { createCronTriggers } from '../../src/triggers/cron.js';
import { FEED, METRICS } from '../../src/tunables/index.js';
import { InProcessBox, settled } from '../dispatch/in-process-box.js';
import { ask, rawSocket, untilText } from '../gateway/http-client.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';

const SCHEDULES = 40;

describe('escape: shares of the gateway', function () {
  this.timeout(30_000);
  let box: TestBox;
  before(async () => {
    box = await startBox();
  });
  after(() => box.close());

  const nested = 8_000_000;
  for (const [what, body] of [
    ['brackets', `${'['.repeat(nested)}${']'.repeat(nested)}`],
    ['brackets in a field', `{"code":"1","concurrency":${'['.repeat(nested)}${']'.repeat(nested)}}`],
    ['values', `{"env":[${'{},'.repeat(5_000_000)}{}]}`],
    ['names', `{"env":{${Array.from({ length: 60_000 }, (_, i) => `"a${i}":""`)}}}`],
  ] as const) {
    it(`reads no JSON of millions of ${what}, which a few KB of a packed body unpack to`, async () => {
      const headers = { 'content-encoding': 'gzip' };
      const answer = await ask(`${box.gateway.url}/v1/functions/f`, {
        method: 'PUT',
        headers,
        body: gzipSync(body),
      });
      expect(answer.status).to.equal(400);
      expect(answer.json().error.message).to.contain('too many values');
    });
  }

  it('looks at no function of which all sandboxes are still being made, however many wait for theirs', async () => {
    const inProcess = new InProcessBox();
    inProcess.starting = () => new Promise(() => undefined);
    const waiting = Array.from({ length: 50 }, (_, i) => `f${i}`);
    for (const name of waiting) inProcess.deploy(name);
    for (const name of [...waiting, ...waiting]) inProcess.call(name);
    await settled();
    const { blames } = inProcess.dispatcher;
    const looked: string[] = [];
    const { of } = blames;
    blames.of = (name, nowMs) => {
      looked.push(name);
      return of.call(blames, name, nowMs);
    };
    inProcess.deploy('other');
    inProcess.call('other');
    expect(looked).to.deep.equal(['other']);
    await inProcess.close();
  });

  it('leaves a place in the queues for each function when those of one tenant wait for all that they can', async () => {
    const inProcess = new InProcessBox();
    inProcess.starting = () => new Promise(() => undefined);
    for (const name of ['a', 'b', 'c', 'd', 'e', 'other']) inProcess.deploy(name);
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      for (let i = 0; i < 10_000; i++) inProcess.call(name);
    }
    for (let i = 0; i < 10; i++) expect(inProcess.call('other').outcomes).to.deep.equal([]);
    await inProcess.close();
  });

  it('writes lines that a function prints at once to its followers at once, whoever they are', async () => {
    await box.serve('chatty', echo);
    const followers = await Promise.all([0, 1, 2].map(() => rawSocket(box.gateway.port)));
    for (const socket of followers) {
      socket.write('GET /v1/functions/chatty/logs?follow=1&tail=0 HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await untilText(socket, /\r\n\r\n/);
    }
    const print = (text: string): void =>
      box.platform.logs.append({ timeMs: 5, functionName: 'chatty', sandboxId: 's', stream: 'stdout', text });
    const heard = followers.map((socket) => untilText(socket, /"last"/));
    for (let i = 0; i < 300; i++) print(`line ${i}`);
    print('last');
    for (const text of await Promise.all(heard)) {
      expect(text.match(/"text":"line/g)).to.have.length(300);
      // Its chunks: the first line, and the rest.
      expect(text.match(/^[0-9a-f]+\r$/gm)!.length).to.be.at.most(2);
    }
    for (const socket of followers) socket.destroy();
  });

  it('lists no names of files of packages, which may be a megabyte for each function', async () => {
    const files = { 'index.mjs': 'export default 1', 'other.mjs': '' };
    const packages = [{ name: 'some', entries: ['index.mjs'], files }];
    const body = JSON.stringify({ code: 'export default 1', packages });
    const url = `${box.gateway.url}/v1/functions`;
    expect((await ask(`${url}/packed`, { method: 'PUT', body })).status).to.equal(201);
    for (const path of ['', '/packed']) {
      const { body: shown } = await ask(url + path);
      expect(shown.toString()).to.contain('"some"').and.not.contain('index.mjs');
    }
  });

  it('sorts the names of an environment, of which all functions may have millions, once and not for each list', async () => {
    await box.serve('many', echo);
    const { registry } = box.platform;
    let looks = 0;
    const ownKeys = (all: Record<string, string>) => {
      looks++;
      return Reflect.ownKeys(all);
    };
    const env = new Proxy({ B: '', A: '' }, { ownKeys });
    const spec = { ...registry.get('many')!, env };
    const { list } = registry;
    registry.list = () => [spec];
    const lists = [];
    for (let i = 0; i < 3; i++) lists.push((await ask(`${box.gateway.url}/v1/functions`)).json());
    registry.list = list;
    for (const { functions } of lists) expect(functions[0].env).to.deep.equal(['A', 'B']);
    expect(looks).to.equal(1);
  });

  it('writes the metrics of thousands of functions piece by piece, and once for all who ask meanwhile', async () => {
    const calls = new CallCounts(() => true);
    const names = Array.from({ length: 10 * METRICS.functionsAtOnce }, (_, i) => `f${i}`);
    for (const name of names) calls.record(name, undefined, 0.1, 'warm');
    const frame = box.platform.frame();
    const functions = names.map((name) => ({ ...frame.functions[0]!, name }));
    let frames = 0;
    const { scrape } = createMetrics(() => ({ ...frame, functions, seq: ++frames }), calls);
    let turns = 0;
    const others = setInterval(() => turns++, 0);
    const [text, again] = await Promise.all([scrape(), scrape()]);
    clearInterval(others);
    expect(frames).to.equal(1);
    expect(again).to.equal(text);
    expect(text).to.contain(`nemo_function_seconds_count{function="${names.at(-1)}"} 1\n`);
    expect(turns).to.be.greaterThan(10);
  });

  it('keeps in the log of events what happened to the box, whatever happens to functions', () => {
    const log = createEventLog();
    log.emit({ kind: 'nf-gone', severity: 'warning', message: 'm', nf: 'firewall' });
    for (let i = 0; i < 2 * FEED.eventsKept; i++) {
      const failed = { kind: 'function-failed', severity: 'error', message: 'm' } as const;
      log.emit({ ...failed, functionName: 'f', cause: 'FUNCTION_CRASHED' });
      log.emit({ kind: 'warning', severity: 'warning', message: 'm', functionName: 'f' });
      log.emit({ kind: 'engine', severity: 'info', message: 'no stem imports p ahead of calls' });
    }
    const kinds = log.since(0, FEED.eventsKept).map(({ kind }) => kind);
    expect(kinds[0]).to.equal('nf-gone');
    expect(kinds).to.have.length.within(2, FEED.eventsKept);
  });

  it('keeps what happened to the box also when a thousand calls of a function fail for what the box lacks', () => {
    const log = createEventLog();
    log.emit({ kind: 'nf-gone', severity: 'warning', message: 'm', nf: 'firewall' });
    const events = new AgentEvents(log);
    const error = new NemoError('OVERLOADED', 'no place for "f" within a minute');
    for (let i = 0; i < FEED.eventsKept; i++) events.callFailed('f', error, undefined);
    expect(log.since(0, FEED.eventsKept)[0]!.kind).to.equal('nf-gone');
  });

  it('looks at thousands of schedules that come at the same moment beside other work', async () => {
    const cron = createCronTriggers(box.platform);
    let inOneGo = 0;
    let most = 0;
    const all = new Promise<void>((resolve) => {
      const called = new Set<string>();
      const handler = (call: Call, sink: ReplySink, timeline: CallTimeline) => {
        if (inOneGo++ === 0) setImmediate(() => (inOneGo = 0));
        most = Math.max(most, inOneGo);
        for (const fromMs = performance.now(); performance.now() - fromMs < 1; );
        sink.onHead(200, {});
        sink.onEnd(timeline);
        if (called.add(call.ref.key).size === SCHEDULES) resolve();
      };
      void (async () => {
        for (let i = 0; i < SCHEDULES; i++) {
          await box.serve(`clock-${i}`, handler);
          const input = { name: `clock-${i}`, code: 'export default () => 1;', schedule: '* * * * * *' };
          await box.platform.registry.deploy(input);
        }
      })();
    });
    await all;
    await cron.close();
    for (let i = 0; i < SCHEDULES; i++) await box.platform.registry.remove(`clock-${i}`);
    expect(most).to.be.lessThan(SCHEDULES / 4);
  });

  it('reads JSON of long texts, whatever stands in them', async () => {
    const code = `export default () => ${JSON.stringify('[{,"\\'.repeat(200_000))}.length`;
    const answer = await ask(`${box.gateway.url}/v1/functions/f`, {
      method: 'PUT',
      body: JSON.stringify({ code }),
    });
    expect(answer.status).to.equal(201);
  });
});
