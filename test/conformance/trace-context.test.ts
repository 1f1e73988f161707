/** W3C Trace Context, https://www.w3.org/TR/trace-context-1/, for a pass-through service: what of it reaches a function. */

import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { expect } from 'chai';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const VALID = `00-${TRACE}-${PARENT}-01`;

type Headers = Array<[name: string, value: string]>;
const parent = (value: string): Headers => [['traceparent', value]];
const state = (...values: string[]): Headers => [
  ['traceparent', VALID],
  ...values.map((value): [string, string] => ['tracestate', value]),
];
const members = (count: number): string => Array.from({ length: count }, (_, i) => `k${i}=v`).join(',');

/** Section, rule, what comes, and what the function gets: of `traceparent` and, where it is given, of `tracestate`. */
const RULES: Array<
  [section: string, rule: string, sent: Headers, parent: string | undefined, state?: string | undefined]
> = [
  ['3.2.1', 'the name in any case', [['TraceParent', VALID]], VALID],
  ['3.2.2.1', 'version ff is invalid', parent(`ff-${TRACE}-${PARENT}-01`), undefined],
  ['3.2.2.1', 'version in capitals', parent(`0A-${TRACE}-${PARENT}-01`), undefined],
  ['3.2.2.1', 'version of one digit', parent(`0-${TRACE}-${PARENT}-01`), undefined],
  ['3.2.2.2', 'version 00 as it is', parent(VALID), VALID],
  ['3.2.2.2', 'version 00 with more behind it', parent(`${VALID}-what`), undefined],
  ['3.2.2.2', 'version 00 with a dash behind it', parent(`${VALID}-`), undefined],
  ['3.2.2.3', 'a trace-id of zeros', parent(`00-${'0'.repeat(32)}-${PARENT}-01`), undefined],
  ['3.2.2.3', 'a trace-id in capitals', parent(`00-${TRACE.toUpperCase()}-${PARENT}-01`), undefined],
  ['3.2.2.3', 'a trace-id that is short', parent(`00-${TRACE.slice(1)}-${PARENT}-01`), undefined],
  ['3.2.2.3', 'a trace-id that is long', parent(`00-${TRACE}0-${PARENT}-01`), undefined],
  ['3.2.2.4', 'a parent-id of zeros', parent(`00-${TRACE}-${'0'.repeat(16)}-01`), undefined],
  ['3.2.2.4', 'a parent-id in capitals', parent(`00-${TRACE}-${PARENT.toUpperCase()}-01`), undefined],
  ['3.2.2.4', 'a parent-id that is short', parent(`00-${TRACE}-${PARENT.slice(1)}-01`), undefined],
  ['3.2.2.5', 'flags that are not hexadecimal', parent(`00-${TRACE}-${PARENT}-.0`), undefined],
  ['3.2.2.5', 'flags of one digit', parent(`00-${TRACE}-${PARENT}-1`), undefined],
  [
    '3.2.2.5',
    'not sampled stays not sampled',
    parent(`00-${TRACE}-${PARENT}-00`),
    `00-${TRACE}-${PARENT}-00`,
  ],
  ['3.2.2', 'two of them', [...parent(VALID), ...parent(VALID)], undefined],
  ['3.2.4', 'a later version', parent(`cc-${TRACE}-${PARENT}-01`), `cc-${TRACE}-${PARENT}-01`],
  [
    '3.2.4',
    'a later version with more',
    parent(`cc-${TRACE}-${PARENT}-01-what`),
    `cc-${TRACE}-${PARENT}-01-what`,
  ],
  ['3.2.4', 'a later version with more, without a dash', parent(`cc-${TRACE}-${PARENT}-01.what`), undefined],
  ['3.2.4', 'a later version that is short', parent(`cc-${TRACE}-${PARENT}`), undefined],
  [
    '3.2.4',
    'a later version, prohibitively long',
    parent(`cc-${TRACE}-${PARENT}-01-${'x'.repeat(8_000)}`),
    undefined,
  ],
  ['3.2.4', 'no version at all', parent('nonsense'), undefined],
  ['3.3', 'tracestate without traceparent', [['tracestate', 'a=1']], undefined, undefined],
  [
    '3.3',
    'tracestate beside an invalid traceparent',
    [...parent('nonsense'), ['tracestate', 'a=1']],
    undefined,
  ],
  ['3.3', 'an invalid tracestate leaves traceparent', state('a'), VALID, undefined],
  ['3.3.1', 'the name in any case', [...parent(VALID), ['TraceState', 'a=1']], VALID, 'a=1'],
  ['3.3.1.1', 'several are one, in order', state('a=1', 'b=2'), VALID, 'a=1, b=2'],
  ['3.3.1.1', 'an empty one', state(''), VALID, ''],
  ['3.3.1.1', 'empty members, blanks and tabs', state('a=1 ,\t, b=2,'), VALID, 'a=1 ,\t, b=2,'],
  ['3.3.1.1', '32 members', state(members(32)), VALID, members(32)],
  ['3.3.1.1', '33 members', state(members(33)), VALID, undefined],
  ['3.3.1.3.1', 'all that a key may have', state('a_-*/0@b_-*/0=1'), VALID, 'a_-*/0@b_-*/0=1'],
  ['3.3.1.3.1', 'a key in capitals', state('A=1'), VALID, undefined],
  ['3.3.1.3.1', 'a key of 256', state(`${'k'.repeat(256)}=1`), VALID, `${'k'.repeat(256)}=1`],
  ['3.3.1.3.1', 'a key of 257', state(`${'k'.repeat(257)}=1`), VALID, undefined],
  ['3.3.1.3.1', 'no key', state('=1'), VALID, undefined],
  ['3.3.1.3.2', 'all that a value may have', state('a=!"#$ %&<>~'), VALID, 'a=!"#$ %&<>~'],
  ['3.3.1.3.2', 'a value with an equals sign', state('a=1=2'), VALID, undefined],
  ['3.3.1.3.2', 'a value of 256', state(`a=${'v'.repeat(256)}`), VALID, `a=${'v'.repeat(256)}`],
  ['3.3.1.3.2', 'a value of 257', state(`a=${'v'.repeat(257)}`), VALID, undefined],
  ['3.3.1.4', 'one entry a key', state('a=1,a=2'), VALID, undefined],
  [
    '3.3.1.5',
    'more than 512 characters go on whole',
    state(`a=${'v'.repeat(250)},b=${'v'.repeat(250)},c=${'v'.repeat(250)}`),
    VALID,
    `a=${'v'.repeat(250)},b=${'v'.repeat(250)},c=${'v'.repeat(250)}`,
  ],
  [
    '3.4',
    'as traceparent is not changed, tracestate is not',
    state('rojo=1,congo=2'),
    VALID,
    'rojo=1,congo=2',
  ],
];

describe('conformance: W3C Trace Context', () => {
  let box: TestBox;
  let got: Record<string, string>;
  before(async () => {
    box = await startBox();
    await box.serve('traced', (call, sink, timeline) => {
      got = call.headers;
      sink.onHead(204, {});
      sink.onEnd(timeline);
    });
  });
  after(() => box.close());

  for (const [section, rule, sent, traceparent, tracestate] of RULES) {
    it(`${section}: ${rule}`, async () => {
      const outgoing = request(`${box.gateway.url}/function/traced`, { agent: false });
      const values = new Map<string, string[]>();
      for (const [name, value] of sent) values.set(name, [...(values.get(name) ?? []), value]);
      for (const [name, all] of values) outgoing.setHeader(name, all);
      outgoing.end();
      const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
      answer.resume();
      expect(answer.statusCode).to.equal(204);
      expect({ traceparent: got.traceparent, tracestate: got.tracestate }).to.deep.equal({
        traceparent,
        tracestate,
      });
    });
  }
});
