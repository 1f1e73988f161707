/**
 * Places in a function's module -> places in the files that it was bundled from, wherever the agent shows what a function
 * said. A sandbox has only the module: what its lines were made of is at the module's end, as a source map (ECMA-426),
 * and is read here when the first place has to be shown. It is the deployer's word, and so are the names in it.
 */

import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import type { NemoError } from '../model/errors.js';
import { printable } from '../model/printable.js';
import { SOURCE_NAMES } from '../tunables/index.js';

const MARK = '\n//# sourceMappingURL=data:application/json;base64,';
const MODULE = '/function/function.mjs:';
const PLACE = /(?:file:\/\/)?\/function\/function\.mjs:(\d{1,9}):(\d{1,9})/g;

export class SourceNames {
  /** By path of the module, the one that was needed last at the end. */
  private readonly maps = new Map<string, SourceMap | undefined>();
  /** Until then no other map is read: one takes this thread up to some 150 ms, and each function has one of its own. */
  private restsUntilMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly read: (path: string) => SourceMap | undefined = readMap,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** `text` with the places of the module that is stored at `path` as places in its sources. */
  restore(path: string, text: string): string {
    if (!text.includes(MODULE)) return text;
    const map = this.mapOf(path);
    if (map === undefined) return text;
    let left: number = SOURCE_NAMES.placesMax;
    return text.replace(PLACE, (whole, line: string, column: string) =>
      left-- > 0 ? (sourceOf(map, Number(line), Number(column)) ?? whole) : whole,
    );
  }

  /** The same in what an error says of where it was thrown. */
  restoreError(path: string, { details }: NemoError): void {
    for (const key of ['stack', 'stderrTail']) {
      const text = details?.[key];
      if (typeof text === 'string') details![key] = this.restore(path, text);
    }
  }

  private mapOf(path: string): SourceMap | undefined {
    const known = this.maps.has(path);
    const fromMs = this.now();
    // Whoever prints what: a place that cannot be looked up now stays that of the module.
    if (!known && fromMs < this.restsUntilMs) return undefined;
    const map = known ? this.maps.get(path) : this.read(path);
    if (!known) {
      const { restTimes, burstMs } = SOURCE_NAMES;
      const since = Math.max(this.restsUntilMs, fromMs - burstMs * (restTimes + 1));
      this.restsUntilMs = since + (this.now() - fromMs) * (restTimes + 1);
    }
    this.maps.delete(path);
    this.maps.set(path, map);
    for (const oldest of this.maps.keys()) {
      if (this.maps.size <= SOURCE_NAMES.mapsMax) break;
      this.maps.delete(oldest);
    }
    return map;
  }
}

/** What a map says of a place, counted from 1; undefined if nothing that can be shown. */
function sourceOf(map: SourceMap, line: number, column: number): string | undefined {
  try {
    const entry = map.findEntry(line - 1, column - 1);
    if (!('originalSource' in entry) || typeof entry.originalSource !== 'string') return undefined;
    const { originalSource, originalLine, originalColumn } = entry;
    const name = printable(originalSource.slice(0, SOURCE_NAMES.nameMaxChars));
    return `${name}:${Number(originalLine) + 1}:${Number(originalColumn) + 1}`;
  } catch {
    return undefined;
  }
}

export function readMap(path: string): SourceMap | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    const at = text.lastIndexOf(MARK);
    const encoded = text.slice(at + MARK.length).trim();
    if (at < 0 || encoded.length > SOURCE_NAMES.mapMaxBytes) return undefined;
    return new SourceMap(JSON.parse(decode(encoded)) as SourceMapPayload);
  } catch {
    // None, or none that can be read: places stay those of the module.
    return undefined;
  }
}

/** For a sandbox that gets its code from the agent: no part of it reads the map. */
export function withoutMap(module: Buffer): Buffer {
  const at = module.lastIndexOf(MARK);
  return at < 0 ? module : module.subarray(0, at + 1);
}

/** Puts whole lines before a module, and says so in its map. */
export function withLinesBefore(lines: string, module: string): string {
  const at = module.lastIndexOf(MARK);
  if (at < 0) return lines + module;
  const map = JSON.parse(decode(module.slice(at + MARK.length).trim())) as SourceMapPayload;
  const mappings = ';'.repeat(lines.split('\n').length - 1) + map.mappings;
  const encoded = Buffer.from(JSON.stringify({ ...map, mappings })).toString('base64');
  return `${lines}${module.slice(0, at)}${MARK}${encoded}\n`;
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}
