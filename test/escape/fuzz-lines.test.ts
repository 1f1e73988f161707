/** Lines of whoever may send anything: what a function prints, a process of isolates, QEMU, a reference NF. */

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { Qmp } from '../../src/engine/microvm/qmp.js';
import { requestEnvironment } from '../../src/runner/cgi.js';
import { readControlLines } from '../../src/sandbox/control-lines.js';
import { LogLines } from '../../src/sandbox/log-lines.js';
import { LineReader } from '../../src/streams/lines.js';
import { CONTROL_LINE, LOG } from '../../src/tunables/index.js';
import { FUZZ_TIMEOUT_MS, fuzz, fuzzAsync } from '../support/fuzz.js';
import { hostileObject, inPieces, lineBytes } from './support/hostile-bytes.js';

const NAMES = ['event', 'id', 'oom', 'code', 'return', 'error', 'desc', 'QMP', 'status'];

/** A real socket with a peer that sends what it is told to. */
class Pair {
  private constructor(
    private readonly server: Server,
    readonly peer: Socket,
    readonly agent: Socket,
  ) {}

  static async open(): Promise<Pair> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection');
    const agent = connect((server.address() as { port: number }).port, '127.0.0.1');
    const [peer] = (await accepted) as [Socket];
    peer.on('error', () => {}).resume();
    return new Pair(server, peer, agent);
  }

  close(): void {
    this.agent.destroy();
    this.peer.destroy();
    this.server.close();
  }
}

describe('hostile messages in lines', function () {
  this.timeout(FUZZ_TIMEOUT_MS);

  it('hostile messages to the line reader: the lines that are there, none longer than it may be', () => {
    const messages = fc.tuple(inPieces(lineBytes(NAMES)), fc.integer({ min: 1, max: 300 }));
    fuzz(messages, ([pieces, maxBytes]) => {
      const seen: Array<[string, boolean]> = [];
      const reader = new LineReader(maxBytes, (text, cut) => void seen.push([text, cut]));
      for (const piece of pieces) reader.push(piece);
      reader.end();
      const bytes = Buffer.concat(pieces);
      const wanted: Array<[string, boolean]> = [];
      for (let at = 0; at < bytes.length; ) {
        const found = bytes.indexOf(10, at);
        const end = found < 0 ? bytes.length : found;
        wanted.push([bytes.toString('utf8', at, Math.min(end, at + maxBytes)), end - at > maxBytes]);
        at = end + 1;
      }
      expect(seen).to.deep.equal(wanted);
      return true;
    });
  });

  it('hostile messages on stdout: no line beyond its bound, what is left out is counted', () => {
    fuzz(inPieces(lineBytes(NAMES)), (pieces) => {
      let lines = 0;
      const log = new LogLines(
        { hold: () => {}, release: () => {} },
        (_timeMs, text) => {
          lines++;
          expect(text.length).to.be.at.most(LOG.lineMaxBytes + 1);
        },
        { onFault: () => expect.fail() },
      );
      for (const piece of pieces) log.take(piece);
      log.finish();
      expect(log.tail.length).to.be.at.most(LOG.stderrTailChars);
      const text = Buffer.concat(pieces).toString('latin1');
      expect(lines).to.equal(text.split('\n').length - (text === '' || text.endsWith('\n') ? 1 : 0));
      return true;
    });
  });

  it('hostile messages to QEMU’s control: commands are answered or fail, nothing else is hurt', async () => {
    await fuzzAsync(
      inPieces(lineBytes(NAMES)),
      async (pieces) => {
        const pair = await Pair.open();
        try {
          const qmp = new Qmp(pair.agent);
          const saved = qmp.save('unix:nowhere').then(
            () => 'saved',
            (error: { code: string }) => error.code,
          );
          for (const piece of pieces) pair.peer.write(piece);
          pair.peer.end();
          expect(await saved).to.be.oneOf(['saved', 'SANDBOX_START']);
          return true;
        } finally {
          pair.close();
        }
      },
      0.1,
    );
  });

  it('hostile messages to the control of a process: what has no meaning is counted, then it ends', async () => {
    await fuzzAsync(
      inPieces(lineBytes(NAMES)),
      async (pieces) => {
        const pair = await Pair.open();
        try {
          let taken = 0;
          let violations = 0;
          const ends = {
            onViolation: () => void violations++,
            onFault(error: Error) {
              throw error;
            },
          };
          readControlLines(pair.agent, CONTROL_LINE.hostMaxBytes, ends, (told) => {
            if (typeof told.event === 'string') taken++;
            return typeof told.event === 'string';
          });
          const ended = once(pair.agent, 'close');
          for (const piece of pieces) pair.peer.write(piece);
          pair.peer.end();
          await ended;
          const lines = Buffer.concat(pieces).toString('latin1').split('\n');
          expect(taken).to.be.at.most(lines.length - 1);
          const endless = lines.at(-1)!.length > CONTROL_LINE.hostMaxBytes;
          const strays = lines.length - 1 - taken;
          if (endless || strays >= CONTROL_LINE.straysMax) expect(violations).to.equal(1);
          // A long line may have come in pieces before its end did.
          else
            expect(violations).to.be.at.most(
              lines.some((one) => one.length > CONTROL_LINE.hostMaxBytes) ? 1 : 0,
            );
          return true;
        } finally {
          pair.close();
        }
      },
      0.1,
    );
  });

  it('hostile messages to a program’s environment: names that are its own, no proxy of the caller’s', () => {
    const names = ['proxy', 'Proxy', 'PROXY', 'content-type', 'x-a', 'path', 'ld_preload', 'node-options'];
    fuzz(hostileObject(names), (text) => {
      const headers = JSON.parse(text) as Record<string, string>;
      const context = {
        ...{ callId: 'c', method: 'GET', path: '/', query: '', headers },
        ...{ functionName: 'f', deadlineMs: 0, remainingMs: () => 0 },
      } as unknown as Parameters<typeof requestEnvironment>[0];
      const env = requestEnvironment(context, 0);
      expect(env).to.not.have.property('HTTP_PROXY');
      return Object.keys(env).every((name) =>
        /^(REQUEST_METHOD|PATH_INFO|QUERY_STRING|CALL_ID|CONTENT_TYPE|HTTP_[A-Z0-9_]*)$/.test(name),
      );
    });
  });
});
