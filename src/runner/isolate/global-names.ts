/**
 * The globals that a function in an isolate has: the language, and of the web's what computes. A list of what stays,
 * so that what a later node adds is not there until somebody has looked at it.
 */

const LANGUAGE =
  'Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise RegExp ' +
  'Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError globalThis ' +
  'JSON Math Intl Temporal ArrayBuffer SharedArrayBuffer Atomics Uint8Array Int8Array Uint16Array Int16Array ' +
  'Uint32Array Int32Array Float16Array Float32Array Float64Array Uint8ClampedArray BigUint64Array BigInt64Array ' +
  'DataView Map BigInt Set WeakMap WeakSet Iterator Proxy Reflect FinalizationRegistry WeakRef DisposableStack ' +
  'AsyncDisposableStack decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape eval isFinite isNaN ' +
  'WebAssembly';

const WEB =
  'URL URLSearchParams URLPattern DOMException QuotaExceededError AbortController AbortSignal Event EventTarget ' +
  'CustomEvent MessageEvent CloseEvent ErrorEvent TextEncoder TextDecoder TransformStream ' +
  'TransformStreamDefaultController WritableStream WritableStreamDefaultController WritableStreamDefaultWriter ' +
  'ReadableStream ReadableStreamDefaultReader ReadableStreamBYOBReader ReadableStreamBYOBRequest ' +
  'ReadableByteStreamController ReadableStreamDefaultController ByteLengthQueuingStrategy CountQueuingStrategy ' +
  'TextEncoderStream TextDecoderStream CompressionStream DecompressionStream clearInterval clearTimeout setInterval ' +
  'setTimeout queueMicrotask structuredClone atob btoa MessageChannel MessagePort Blob File Performance ' +
  'PerformanceEntry PerformanceMeasure PerformanceObserver PerformanceObserverEntryList ' +
  'PerformanceResourceTiming performance FormData Headers Request Response crypto Crypto CryptoKey SubtleCrypto';

/** `process`, `console` and `fetch` are ours. */
const NODE = 'console process fetch global Buffer clearImmediate setImmediate';

export const GLOBAL_NAMES: ReadonlySet<string> = new Set(`${LANGUAGE} ${WEB} ${NODE}`.split(' '));
