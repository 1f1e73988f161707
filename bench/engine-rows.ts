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

export const ROWS = [
  { name: 'process', kind: 'process', code: Buffer.from(NOOP_JS) },
  { name: 'isolate', kind: 'isolate', code: Buffer.from(NOOP_JS) },
  { name: 'wasm (instance kept)', kind: 'wasm', code: REACTOR_WASM },
  { name: 'wasm (instance a call)', kind: 'wasm', code: COMMAND_WASM },
  { name: 'oci (handler)', kind: 'oci', code: Buffer.from('handler') },
  { name: 'oci (server in node)', kind: 'oci', code: Buffer.from('server') },
  { name: 'microvm', kind: 'microvm', code: Buffer.from(NOOP_JS) },
] as const;
export type Row = (typeof ROWS)[number];
