/**
 * Copies of values, in the place of node's own. Node copies an object of its own (`Blob`, a stream, a key) by asking the
 * object, under symbols that a function can find, which class of node's insides is to be made anew and from what: a function
 * that answers has any class made, a socket's for example. Here only what belongs to the language is copied.
 */

import type { Performance } from 'node:perf_hooks';
import { Deserializer, Serializer } from 'node:v8';
import { uncurry } from '../primordials.js';

const Failure = DOMException;
const define = Object.defineProperty;
const post = uncurry(MessagePort.prototype.postMessage) as (port: unknown, message: unknown) => void;
const { writeHeader, writeValue, releaseBuffer } = Serializer.prototype;
const { readHeader, readValue } = Deserializer.prototype;
const serializer = {
  header: uncurry(writeHeader) as (to: Serializer) => void,
  value: uncurry(writeValue) as (to: Serializer, value: unknown) => void,
  bytes: uncurry(releaseBuffer) as (of: Serializer) => Buffer,
};
const deserializer = {
  header: uncurry(readHeader) as (from: Deserializer) => void,
  value: uncurry(readValue) as (from: Deserializer) => unknown,
};

/** What would be transferred is copied too. Throws DataCloneError. */
function copy(value: unknown): unknown {
  const to = new Serializer();
  define(to, '_getDataCloneError', { value: (message: string) => new Failure(message, 'DataCloneError') });
  serializer.header(to);
  serializer.value(to, value);
  const from = new Deserializer(serializer.bytes(to));
  deserializer.header(from);
  return deserializer.value(from);
}

/** What V8 makes anew as an error. */
const ERRORS = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];

interface Told {
  detail?: unknown;
  startTime?: unknown;
  start?: unknown;
  end?: unknown;
  duration?: unknown;
}
type Timed = (on: unknown, name: unknown, told: unknown, end: unknown) => object;

/** Of all that copies what a function hands it: `structuredClone`, ports, and the details of marks in time. */
export function replaceCloning(): void {
  const replace = (of: object, name: string, value: unknown): void =>
    void define(of, name, { value, writable: true, configurable: true });
  replace(globalThis, 'structuredClone', (value: unknown) => copy(value));
  // A port copies the copy once more, in node's way, and asks an error there for its name: whoever answered would have
  // the error, and by its cause put more into the copy.
  for (const { prototype } of ERRORS) define(prototype, 'name', { configurable: false });
  replace(MessagePort.prototype, 'postMessage', function (this: unknown, message: unknown) {
    post(this, copy(message));
  });
  const timing = Object.getPrototypeOf(performance) as Performance;
  for (const name of ['mark', 'measure'] as const) {
    const real = uncurry(timing[name]) as Timed;
    replace(
      timing,
      name,
      function (this: unknown, named: unknown, told?: Told | string | null, to?: unknown) {
        const options = typeof told === 'object' && told !== null;
        const { detail, startTime, start, end, duration }: Told = options ? told : { start: told, end: to };
        const copied = detail === undefined || detail === null ? undefined : copy(detail);
        // Node gets no details, own or inherited: it would copy them itself.
        const times = { __proto__: null, startTime, start, end, duration };
        const entry = real(this, named, times, options ? to : undefined);
        if (copied !== undefined) define(entry, 'detail', { value: copied, enumerable: true });
        return entry;
      },
    );
  }
  // It takes details as well.
  replace(PerformanceMark.prototype, 'constructor', undefined);
}
