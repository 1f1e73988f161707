/**
 * What the runner needs of the language once code of a function has run, taken before any has: a function may replace
 * every method of every prototype. Whatever runs after a load calls these, reads own properties, and uses `for` with
 * an index instead of iterators.
 */

// biome-ignore lint/suspicious/noExplicitAny: the receiver's type is each caller's business
export const uncurry = (method: any): any => Function.prototype.call.bind(method);

export const mapGet = uncurry(Map.prototype.get) as <K, V>(map: Map<K, V>, key: K) => V | undefined;
export const mapSet = uncurry(Map.prototype.set) as <K, V>(map: Map<K, V>, key: K, value: V) => unknown;
export const mapDelete = uncurry(Map.prototype.delete) as <K, V>(map: Map<K, V>, key: K) => boolean;
export const setAdd = uncurry(Set.prototype.add) as <T>(set: Set<T>, value: T) => unknown;
export const setHas = uncurry(Set.prototype.has) as <T>(set: Set<T>, value: T) => boolean;
export const setDelete = uncurry(Set.prototype.delete) as <T>(set: Set<T>, value: T) => boolean;
export const setForEach = uncurry(Set.prototype.forEach) as <T>(
  set: Set<T>,
  each: (value: T) => void,
) => void;
export const toPromise = Promise.resolve.bind(Promise) as (value: unknown) => Promise<unknown>;
export const promiseThen = uncurry(Promise.prototype.then) as (
  promise: Promise<unknown>,
  done: (value: unknown) => void,
  failed: (error: unknown) => void,
) => void;

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
const getter = (of: object, name: string): unknown => Object.getOwnPropertyDescriptor(of, name)!.get;
const isView = ArrayBuffer.isView;
const kindOf = uncurry(getter(typedArray, Symbol.toStringTag as unknown as string)) as (
  view: unknown,
) => string | undefined;
const PLACES = [typedArray, DataView.prototype].map((of) => ({
  buffer: uncurry(getter(of, 'buffer')) as (view: unknown) => ArrayBuffer,
  offset: uncurry(getter(of, 'byteOffset')) as (view: unknown) => number,
  length: uncurry(getter(of, 'byteLength')) as (view: unknown) => number,
}));
const [ofTyped, ofDataView] = [PLACES[0]!, PLACES[1]!];
const bufferLength = uncurry(getter(ArrayBuffer.prototype, 'byteLength')) as (buffer: unknown) => number;
const Bytes = Uint8Array;
const PlainBuffer = ArrayBuffer;

/**
 * A view of the same bytes that has nothing of the function's own: no subclass, no length that it says itself.
 * Undefined if `value` is neither an ArrayBuffer nor a view of one. Throws TypeError on one that was detached.
 */
export function ownBytes(value: object): Uint8Array | undefined {
  if (isView(value)) {
    const place = kindOf(value) === undefined ? ofDataView : ofTyped;
    return new Bytes(place.buffer(value), place.offset(value), place.length(value));
  }
  if (!(value instanceof PlainBuffer)) return undefined;
  try {
    bufferLength(value);
  } catch {
    // It only says so.
    return undefined;
  }
  return new Bytes(value);
}
