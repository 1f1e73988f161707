/** Frames of a sandbox, as bytes: the decoder, and the agent's end of the socket with calls open. */

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { readReport } from '../../src/engine/process/ahead-report.js';
import type { NemoError } from '../../src/model/errors.js';
import { functionRef } from '../../src/model/function-ref.js';
import { BODY_MAX_BYTES, FrameDecoder, FrameError, META_MAX_BYTES } from '../../src/runner/frames.js';
import { Channel, type ChannelEvents } from '../../src/sandbox/channel.js';
import { checkHeaders, parseErrorReport, parseHeaders } from '../../src/sandbox/reports.js';
import { CHANNEL, PACKAGES } from '../../src/tunables/index.js';
import { FUZZ_TIMEOUT_MS, fuzz, fuzzAsync } from '../support/fuzz.js';
import { MODULE } from '../support/sources.js';
import { frameBytes, hostileObject, hostileValue, inPieces, wholeFrames } from './support/hostile-bytes.js';

const REQUEST = {
  ...{ callId: 'x', ref: functionRef('f'), method: 'GET', path: '/', query: '', headers: {} },
  body: Buffer.alloc(0),
};
const HEADER_CHARS = /^[\t\n\u0020-\u007e\u0080-\u00ff]*$/;

function decoded(pieces: readonly Buffer[]): string[] {
  const seen: string[] = [];
  const decoder = new FrameDecoder((header, meta, body) => {
    seen.push(JSON.stringify([header, meta.toString('latin1'), body.toString('latin1')]));
  });
  for (const piece of pieces) decoder.push(piece);
  return seen;
}

describe('hostile messages in frames', function () {
  this.timeout(FUZZ_TIMEOUT_MS);

  it('hostile messages to the decoder: the same frames however the bytes are cut', () => {
    fuzz(inPieces(wholeFrames), (pieces) => {
      expect(decoded(pieces)).to.deep.equal(decoded([Buffer.concat(pieces)]));
      return true;
    });
  });

  it('hostile messages to the decoder: nothing but frames within the bounds, or a FrameError', () => {
    fuzz(inPieces(frameBytes), (pieces) => {
      let within = true;
      const decoder = new FrameDecoder(
        (_header, meta, body) => {
          within &&= meta.length <= META_MAX_BYTES && body.length <= BODY_MAX_BYTES;
        },
        () => 100_000,
      );
      try {
        for (const piece of pieces) decoder.push(piece);
      } catch (thrown) {
        if (!(thrown instanceof FrameError)) throw thrown;
      }
      return within;
    });
  });

  it('hostile messages to the agent’s end: each call ends once, in order, with a head that HTTP has', async () => {
    await fuzzAsync(inPieces(frameBytes), async (pieces) => {
      const socket = Object.assign(new EventEmitter(), {
        write: () => true,
        pause: () => undefined,
        resume: () => undefined,
      }) as unknown as Socket;
      let violations = 0;
      const faults: NemoError[] = [];
      const asked = { readys: 1, loads: 1 };
      const events: ChannelEvents = {
        onReady: () => void asked.readys--,
        onLoaded: () => void asked.loads--,
        onLoadFailed: () => void asked.loads--,
        onViolation: () => void violations++,
        onFault: (error) => void faults.push(error),
      };
      const channel = new Channel(socket, events);
      channel.load(
        {
          ...{ ref: functionRef('f'), source: MODULE, bundlePath: '', env: {} },
          ...{ memoryBytes: 1, timeoutMs: 1, concurrency: 3 },
        },
        '',
      );
      const told: string[] = ['', '', ''];
      for (const i of told.keys()) {
        const tell = (what: string): void => {
          told[i] += what;
        };
        channel.call(REQUEST, 1_000, {
          onHead(status, headers) {
            tell('h');
            if (status < 200 || status > 599) tell('!');
            for (const [name, value] of Object.entries(headers))
              if (!HEADER_CHARS.test(value) || name !== name.toLowerCase()) tell('!');
            if ('transfer-encoding' in headers || 'connection' in headers) tell('!');
          },
          onChunk: () => tell('c'),
          onEnd: () => tell('e'),
          onError: () => tell('x'),
        });
      }
      for (const piece of pieces) socket.emit('data', piece);
      socket.emit('close');
      channel.endAll(() => ({}) as NemoError);
      // What the channel has planned for the end of this turn holds it until then.
      await new Promise<void>((resolve) => process.nextTick(resolve));
      expect(faults).to.deep.equal([]);
      expect(violations).to.be.at.most(1);
      expect(asked.readys).to.be.at.least(0);
      expect(asked.loads).to.be.at.least(0);
      expect(channel.strayFrames).to.be.at.most(CHANNEL.strayFramesMax);
      for (const one of told) expect(one).to.match(/^(hc*[ex]|x)$/);
      expect({}).to.not.have.property('polluted');
      return Object.getOwnPropertyNames(Object.prototype).every((name) => !/cookie|code|thread/.test(name));
    });
  });

  it('hostile messages in what a frame tells: heads and errors of the right types, within bounds', () => {
    const names = ['code', 'name', 'message', 'stack', 'set-cookie', 'x-a', 'connection', 'content-length'];
    fuzz(fc.oneof(hostileObject(names), fc.string({ maxLength: 200 })), (text) => {
      const meta = Buffer.from(text);
      const told = parseErrorReport(meta);
      for (const value of Object.values(told)) expect(value.length).to.be.at.most(4_000);
      const headers = parseHeaders(meta) ?? {};
      expect(Object.getPrototypeOf(headers)).to.equal(Object.prototype);
      return Object.entries(headers).every(
        ([name, value]) => HEADER_CHARS.test(value) && /^[^\s:A-Z]+$/.test(name) && name !== 'connection',
      );
    });
    const many = Object.fromEntries(Array.from({ length: CHANNEL.headersMax + 1 }, (_, i) => [`h${i}`, '']));
    expect(checkHeaders(many)).to.equal(undefined);
    expect(checkHeaders({ a: 'x'.repeat(CHANNEL.headersMaxBytes) })).to.equal(undefined);
    // One name, and a header of its own for each line.
    const cookies = (count: number) => ({ 'set-cookie': Array(count).fill('').join('\n') });
    expect(checkHeaders(cookies(CHANNEL.headersMax + 1))).to.equal(undefined);
    expect(checkHeaders({ a: 'b', ...cookies(CHANNEL.headersMax) })).to.equal(undefined);
    expect(checkHeaders(cookies(CHANNEL.headersMax))).to.be.an('object');
  });

  it('what a frame tells is not parsed where it has far more values than a head or an error has', () => {
    const nested = `[${'['.repeat(50_000)}${']'.repeat(50_000)}]`;
    const many = Array(20_000).fill('"a":"b"').join();
    for (const more of [`"x":${nested}`, many, `"x":[${Array(20_000).fill('{}').join()}]`]) {
      expect(parseErrorReport(Buffer.from(`{"message":"told",${more}}`)).message).to.equal('');
      expect(parseHeaders(Buffer.from(`{"message":"told",${more}}`))).to.equal(undefined);
    }
    const headers = Object.fromEntries(
      Array.from({ length: CHANNEL.headersMax }, (_, i) => [`h${i}`, '{,[']),
    );
    expect(parseHeaders(Buffer.from(JSON.stringify(headers)))).to.deep.equal(headers);
    const error = {
      code: 'FUNCTION_ERROR',
      name: 'Error',
      message: '{[,'.repeat(1_300),
      stack: '\u0000'.repeat(4_000),
    };
    expect(parseErrorReport(Buffer.from(JSON.stringify(error)))).to.deep.equal(error);
    const long = JSON.stringify({ message: 'told', x: 'x'.repeat(META_MAX_BYTES / 2) });
    expect(parseErrorReport(Buffer.from(long)).message).to.equal('');
  });

  it('hostile messages in a stem’s report: numbers within bounds, names that are texts', () => {
    const report = fc.oneof(
      hostileValue,
      fc.record({
        cpuMs: hostileValue,
        bytes: hostileValue,
        reads: fc.oneof(hostileValue, fc.array(hostileValue)),
        readsAll: hostileValue,
        effect: hostileValue,
      }),
    );
    fuzz(report, (told) => {
      const { cpuMs = 0, bytes = 0, reads = [], effect = '' } = readReport(told) ?? {};
      expect(cpuMs).to.be.within(0, PACKAGES.importMaxMs);
      expect(bytes).to.be.within(0, PACKAGES.heldMaxBytes);
      expect(effect).to.be.a('string').with.length.at.most(200);
      return reads.length <= 1_000 && reads.every((name) => typeof name === 'string' && name.length <= 200);
    });
  });
});
