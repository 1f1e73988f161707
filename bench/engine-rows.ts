/** Rows of the table of `bench/engines`: an engine with a function that does nothing. */

export const NOOP_JS = 'export default () => undefined;';
/** handle gives back what it got; memory of one page. */
const REACTOR_WASM = Buffer.from(
  'AGFzbQEAAAABDAJgAX8Bf2ACf38BfgIBAAMDAgABBQMBAAEHGwMGbWVtb3J5AgAFYWxsb2MAAAZoYW5kbGUAAQoUAgUAQYAICwwAIACtQiCGIAGthAs=',
  'base64',
);
/** An empty _start: a fresh instance each call. */
const COMMAND_WASM = Buffer.from(
  'AGFzbQEAAAABBAFgAAACAQADAgEABQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAAKBAECAAs=',
  'base64',
);

export interface Row {
  name: string;
  kind: string;
  code: Buffer;
  /** All of a round share a process; without it each has its own, as functions have that name no sharing group. */
  group?: true;
}

export const ROWS: readonly Row[] = [
  { name: 'process', kind: 'process', code: Buffer.from(NOOP_JS) },
  { name: 'isolate', kind: 'isolate', code: Buffer.from(NOOP_JS) },
  { name: 'isolate (sharing group)', kind: 'isolate', code: Buffer.from(NOOP_JS), group: true },
  { name: 'wasm (instance kept)', kind: 'wasm', code: REACTOR_WASM },
  { name: 'wasm (instance kept, sharing group)', kind: 'wasm', code: REACTOR_WASM, group: true },
  { name: 'wasm (instance a call)', kind: 'wasm', code: COMMAND_WASM },
  { name: 'oci (handler)', kind: 'oci', code: Buffer.from('handler') },
  { name: 'oci (server in node)', kind: 'oci', code: Buffer.from('server') },
  { name: 'microvm', kind: 'microvm', code: Buffer.from(NOOP_JS) },
];
