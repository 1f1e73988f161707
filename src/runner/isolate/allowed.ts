/**
 * What a function in an isolate may import: what computes, nothing that reaches files, sockets, processes, threads or
 * the isolate's own machinery. The deploy refuses anything else by name; the runner refuses it once more, with what a
 * function may have done to the language's own methods: a table is asked, and no method.
 */

const NAMES = [
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

/** What an import says -> the module's name without `node:`. It inherits nothing. */
const ALLOWED = Object.create(null) as Record<string, string>;
for (const name of NAMES) ALLOWED[name] = ALLOWED[`node:${name}`] = name;
Object.freeze(ALLOWED);

/** The name of a module that may be imported, without `node:`; undefined for everything else, whatever it is. */
export function allowedName(specifier: unknown): string | undefined {
  return typeof specifier === 'string' ? ALLOWED[specifier] : undefined;
}

export function refusal(specifier: unknown): string {
  const named = typeof specifier === 'string' ? `'${specifier}'` : 'what is not a string';
  return `${named} cannot be imported in an isolate: it has no files, network, processes or threads`;
}
