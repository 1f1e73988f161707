/**
 * What a function in an isolate may import: what computes, nothing that reaches files, sockets, processes, threads or
 * the isolate's own machinery. The deploy refuses anything else by name; the runner refuses it once more.
 */

export const ALLOWED_MODULES: readonly string[] = [
  'assert',
  'assert/strict',
  'async_hooks',
  'buffer',
  'console',
  'crypto',
  'events',
  'module',
  'path',
  'path/posix',
  'process',
  'punycode',
  'querystring',
  'stream',
  'stream/consumers',
  'stream/promises',
  'stream/web',
  'string_decoder',
  'timers',
  'timers/promises',
  'url',
  'util',
  'util/types',
  'zlib',
];

export function bareName(specifier: string): string {
  return specifier.startsWith('node:') ? specifier.slice(5) : specifier;
}

export function isAllowed(specifier: string): boolean {
  return ALLOWED_MODULES.includes(bareName(specifier));
}

export function refusal(specifier: string): string {
  return `'${specifier}' cannot be imported in an isolate: it has no files, network, processes or threads`;
}
