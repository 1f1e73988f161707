import { expect } from 'chai';
import { askedTimeoutMs } from '../../src/gateway/asked-timeout.js';
import type { Call } from '../../src/model/call.js';
import { ask } from './http-client.js';
import { echo, startBox } from './in-process-platform.js';

describe('X-Timeout', () => {
  const asked = (text: string): number => askedTimeoutMs({ 'x-timeout': text });

  it('is a Go duration', () => {
    for (const [text, ms] of [
      ['750ms', 750],
      ['2s', 2_000],
      ['1.5s', 1_500],
      ['1m30s', 90_000],
      ['1h0.5m', 3_630_000],
      ['0s', 0],
    ] as const) {
      expect(asked(text), text).to.equal(ms);
    }
  });

  it('says nothing in any other form', () => {
    for (const text of [
      '',
      '5',
      '-1s',
      '5 s',
      '5S',
      's',
      '1s2',
      '1e3ms',
      '.5s',
      '9'.repeat(10_000),
      '1s'.repeat(9),
    ]) {
      expect(asked(text), text.slice(0, 20)).to.equal(Number.POSITIVE_INFINITY);
    }
    expect(askedTimeoutMs({})).to.equal(Number.POSITIVE_INFINITY);
  });

  it('is the deadline of the call, from when it came', async () => {
    const box = await startBox();
    const seen: Call[] = [];
    await box.serve('f', (call, sink, timeline) => {
      seen.push(call);
      echo(call, sink, timeline);
    });
    const url = `${box.gateway.url}/function/f`;
    const beforeMs = performance.now();
    await ask(url, { headers: { 'x-timeout': '40s' } });
    const afterMs = performance.now();
    await ask(url, { headers: { 'x-timeout': 'soon' } });
    await box.close();
    expect(seen[0]!.deadlineMs - 40_000).to.be.within(beforeMs, afterMs);
    expect(seen[0]!.headers['x-timeout'], 'the function sees it too').to.equal('40s');
    expect(seen[1]!.deadlineMs).to.equal(Number.POSITIVE_INFINITY);
  });
});
