/**
 * Reads a trace file as a stream: the Azure Functions traces of 2021 (a line a call) and of 2019 (a line a function,
 * with its calls in each minute of a day; lengths of calls from a second file). Which it is, its first line tells.
 */

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { asNemoError, NemoError } from '../model/errors.js';
import { Random } from '../packet/random.js';
import { type Trace, TraceBuilder } from './trace.js';

export interface ReadOptions {
  /** The durations file of the 2019 trace. */
  durations?: string;
  /** All times are divided by this. */
  scale?: number;
  /** At most so many calls are read. */
  limit?: number;
  /** Chooses moments within a minute and lengths within percentiles, 2019 only. */
  seed?: number;
  onProgress?: (calls: number) => void;
}

const COLUMNS_2021 = ['app', 'func', 'end_timestamp', 'duration'];
const COLUMNS_2019 = ['HashOwner', 'HashApp', 'HashFunction', 'Trigger'];
const COLUMNS_DURATIONS = ['HashOwner', 'HashApp', 'HashFunction', 'Average'];
/** Percentiles that the 2019 durations give. */
const QUANTILES = [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1];
const QUANTILE_COLUMNS = [0, 1, 25, 50, 75, 99, 100].map((percent) => `percentile_Average_${percent}`);
/** Length of a call of a 2019 function of which no durations are known. */
const DURATION_DEFAULT_MS = 1000;
const PROGRESS_CALLS = 100_000;

/** NOT_FOUND without the file; BAD_REQUEST with file and line for what is not a trace. */
export async function readTrace(file: string, options: ReadOptions = {}): Promise<Trace> {
  const builder = new TraceBuilder();
  const { limit = Number.POSITIVE_INFINITY, seed = 1 } = options;
  const random = new Random(seed);
  let lengths: Map<string, number[]> | undefined;
  let kind: '2021' | '2019' | undefined;
  for await (const { line, number } of lines(file)) {
    const cells = line.split(',');
    if (kind === undefined) {
      if (startsWith(cells, COLUMNS_2021)) kind = '2021';
      else if (startsWith(cells, COLUMNS_2019)) kind = '2019';
      else {
        throw bad(file, number, `is not a header of a trace; it should begin with ${COLUMNS_2021.join(',')}`);
      }
      if (kind === '2019' && options.durations !== undefined)
        lengths = await readDurations(options.durations);
      continue;
    }
    if (builder.count >= limit) break;
    if (kind === '2021') {
      const [app, name, end, duration] = cells;
      const endMs = seconds(end);
      const durationMs = seconds(duration);
      if (cells.length !== 4 || Number.isNaN(endMs + durationMs) || durationMs < 0) {
        throw bad(file, number, `should be ${COLUMNS_2021.join(',')} with times in seconds`);
      }
      builder.add(`${app}/${name}`, endMs - durationMs, durationMs);
    } else {
      const name = cells.slice(0, 3).join('/');
      const known = lengths?.get(name);
      for (let minute = 0; minute < cells.length - 4; minute++) {
        const text = cells[minute + 4]!;
        const calls = Number(text);
        if (text === '' || !Number.isInteger(calls) || calls < 0) {
          throw bad(file, number, `has "${text.slice(0, 20)}" as its calls of minute ${minute + 1}`);
        }
        for (let i = 0; i < calls && builder.count < limit; i++) {
          const durationMs = known === undefined ? DURATION_DEFAULT_MS : interpolate(known, random.unit());
          builder.add(name, (minute + random.unit()) * 60_000, durationMs);
        }
      }
    }
    if (builder.count % PROGRESS_CALLS < 1) options.onProgress?.(builder.count);
  }
  if (builder.count === 0) {
    throw new NemoError('BAD_REQUEST', `${file} holds no calls`, {
      hint: 'give an Azure trace of 2019 or 2021',
    });
  }
  return builder.finish(options.scale);
}

async function readDurations(file: string): Promise<Map<string, number[]>> {
  const known = new Map<string, number[]>();
  let columns: number[] | undefined;
  for await (const { line, number } of lines(file)) {
    const cells = line.split(',');
    if (columns === undefined) {
      columns = QUANTILE_COLUMNS.map((name) => cells.indexOf(name));
      if (!startsWith(cells, COLUMNS_DURATIONS) || columns.includes(-1)) {
        throw bad(file, number, 'is not a header of the durations of the 2019 trace');
      }
      continue;
    }
    const values = columns.map((column) => Number(cells[column]));
    if (values.some(Number.isNaN)) throw bad(file, number, 'has percentiles that are not numbers');
    known.set(cells.slice(0, 3).join('/'), values);
  }
  return known;
}

function interpolate(values: readonly number[], at: number): number {
  let i = 1;
  while (i < QUANTILES.length - 1 && QUANTILES[i]! < at) i++;
  const share = (at - QUANTILES[i - 1]!) / (QUANTILES[i]! - QUANTILES[i - 1]!);
  return Math.max(0, values[i - 1]! + share * (values[i]! - values[i - 1]!));
}

async function* lines(file: string): AsyncGenerator<{ line: string; number: number }> {
  const raw = createReadStream(file);
  const input = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
  // An error of the file does not reach who reads the pipe.
  raw.on('error', (error) => input.destroy(error));
  let number = 0;
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      if (line !== '') yield { line, number };
    }
  } catch (cause) {
    const { message } = asNemoError(cause);
    throw new NemoError('NOT_FOUND', `the trace ${file} cannot be read: ${message}`, { cause });
  }
}

function startsWith(cells: readonly string[], columns: readonly string[]): boolean {
  return columns.every((column, i) => cells[i]?.trim() === column);
}

function seconds(text: string | undefined): number {
  return text === undefined || text.trim() === '' ? Number.NaN : Number(text) * 1000;
}

function bad(file: string, line: number, what: string): NemoError {
  return new NemoError('BAD_REQUEST', `${file}:${line} ${what}`, {
    hint: 'a trace is a CSV as published in AzurePublicDataset, also packed with gzip',
    details: { file, line },
  });
}
