/**
 * Bounds what a Redis server answers, before the library takes it. The library makes room for as many values as are claimed
 * (`*33000000` has ten bytes and takes 260 MB), collects a value however long it is, and throws what it stumbles over where
 * nobody can catch it, which ends the process. Here a reply is framed as the protocol says, within bounds, and whatever
 * goes wrong with one is an error of its connection, which is then made anew.
 *
 * RESP: https://redis.io/docs/latest/develop/reference/protocol-spec/
 */

import dataHandler from 'ioredis/built/DataHandler.js';
import { Decoder } from 'ioredis/built/resp/decoder.js';
import { REDIS } from '../tunables/index.js';

const BULK = new Set(['$', '=', '!']);
/** How many values each item of a list is. */
const LISTS: Record<string, number> = { '*': 1, '~': 1, '>': 1, '%': 2 };
const LINES: Record<string, RegExp> = {
  '+': /^[^\n]*$/,
  '-': /^[^\n]*$/,
  ':': /^[-+]?\d{1,20}$/,
  ',': /^[-+]?(inf|nan|\d{1,40}(\.\d{1,40})?(e[-+]?\d{1,3})?)$/i,
  '(': /^[-+]?\d{1,100}$/,
  '#': /^[tf]$/,
  _: /^$/,
};
const NUMBER_MAX = 128;
const LENGTH = /^(\d{1,9}|-1)$/;

export class ReplyBounds {
  /** A line whose end has not come. */
  private line = '';
  /** The second half of a line break is still to come. */
  private awaitsFeed = false;
  /** Bytes of a value that are still to come, with the line break behind them. */
  private toCome = 0;
  /** Of each list that is open, how many values are still to come. */
  private readonly open: number[] = [];
  /** Of this reply. */
  private bytes = 0;
  private values = 0;

  /** Throws for what is no reply, or none within the bounds. */
  take(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.awaitsFeed) {
        if (chunk[at++] !== 10) throw new Error('a line of a reply has no end');
        this.awaitsFeed = false;
        continue;
      }
      if (this.toCome > 0) {
        const taken = Math.min(this.toCome, chunk.length - at);
        this.toCome -= taken;
        at += taken;
        if (this.toCome === 0) this.endValue();
        continue;
      }
      const end = chunk.indexOf(13, at);
      const next = end < 0 ? chunk.length : end;
      this.line += chunk.toString('latin1', at, next);
      // Digits of a number cost the library time by the square.
      const isText = this.line[0] === '+' || this.line[0] === '-';
      if (this.line.length > (isText ? REDIS.reply.lineMaxBytes : NUMBER_MAX))
        throw new Error('a line of a reply is too long');
      if (end < 0) return;
      at = end + 1;
      const { line } = this;
      this.line = '';
      // The library begins before the rest of the line break has come.
      this.awaitsFeed = true;
      this.begin(line[0] ?? '', line.slice(1));
    }
  }

  private begin(type: string, rest: string): void {
    const { valuesMax, maxBytes, depthMax } = REDIS.reply;
    this.bytes += rest.length;
    if (LINES[type] !== undefined) {
      if (!LINES[type].test(rest)) throw new Error('a reply is not of its type');
      this.endValue();
      return;
    }
    const isList = LISTS[type] !== undefined;
    if ((!isList && !BULK.has(type)) || !LENGTH.test(rest)) throw new Error('a reply is of no known type');
    if (type === '>' && this.open.length > 0) throw new Error('a message stands within a reply');
    const length = Number(rest);
    // Three characters and a colon say what kind of text it is.
    if (type === '=' && length < 4) throw new Error('a reply is not of its type');
    if (length < 0) {
      if (type !== '$' && type !== '*') throw new Error('a reply has no length');
      this.endValue();
      return;
    }
    if (!isList) {
      if (this.bytes + length > maxBytes) throw new Error('a reply is too long');
      this.bytes += length;
      this.toCome = length + 2;
      return;
    }
    const items = length * LISTS[type]!;
    this.values += items;
    if (this.values > valuesMax || this.open.length >= depthMax) {
      throw new Error('a reply has too many values, or too deep ones');
    }
    if (items === 0) this.endValue();
    else this.open.push(items);
  }

  private endValue(): void {
    for (;;) {
      const left = this.open.pop();
      if (left === undefined) break;
      if (left > 1) {
        this.open.push(left - 1);
        return;
      }
    }
    this.bytes = 0;
    this.values = 0;
  }
}

/** The library's own, which it does not offer to be changed. */
interface Handler {
  redis: {
    commandQueue: { shift(): Taken | undefined };
    stream: { destroy(): void };
    recoverFromFatalError(error: Error, same: Error, options: { offlineQueue: boolean }): void;
  };
  taken?: Taken;
  dispatch(deliver: () => void): void;
  shiftCommand(): Taken;
  returnFatalError(error: Error): void;
}

interface Taken {
  command: { reject(error: unknown): void };
}

const bounds = new WeakMap<Decoder, ReplyBounds>();

/** Of all connections of the library, once. */
export function boundReplies(): void {
  const { write } = Decoder.prototype;
  Decoder.prototype.write = function (this: Decoder, chunk: Buffer) {
    const own = bounds.get(this) ?? new ReplyBounds();
    bounds.set(this, own);
    own.take(chunk);
    write.call(this, chunk);
  };
  const handler = dataHandler.default.prototype as unknown as Handler;
  handler.shiftCommand = function () {
    const taken = this.redis.commandQueue.shift();
    if (taken === undefined) throw new Error('the server answers what nobody asked');
    this.taken = taken;
    return taken;
  };
  // What is thrown here comes to whoever wrote to the decoder, and so to the next.
  handler.dispatch = function (deliver) {
    try {
      deliver();
    } catch (thrown) {
      this.taken?.command.reject(thrown);
      throw thrown;
    }
  };
  handler.returnFatalError = function (error) {
    this.redis.recoverFromFatalError(error, error, { offlineQueue: false });
    this.redis.stream.destroy();
  };
}
