/** The report on disk: replaced as a whole, so that a kill leaves the one before; read back to be resumed. */

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { NemoError } from '../src/model/errors.js';
import { BENCH_SCHEMA, type BenchReport } from './types.js';

export function writeReport(file: string, report: BenchReport): void {
  const made = `${file}.${process.pid}.new`;
  writeFileSync(made, `${JSON.stringify(report, null, 1)}\n`);
  renameSync(made, file);
}

/** Undefined without the file. Throws BAD_CONFIG if what it holds was measured by another command or commit. */
export function readResumable(file: string, command: string, commit: string | null): BenchReport | undefined {
  if (!existsSync(file)) return undefined;
  const hint = 'leave out --resume, or give another file';
  const report = parse(file, hint);
  const refuse = (what: string, theirs: unknown, ours: unknown): never => {
    const message = `${file} cannot be resumed: its ${what} is ${theirs}, this run's is ${ours}`;
    throw new NemoError('BAD_CONFIG', message, { hint });
  };
  if (report.schema !== BENCH_SCHEMA) refuse('schema', report.schema, BENCH_SCHEMA);
  if (report.command !== command) refuse('command', `"${report.command}"`, `"${command}"`);
  if (report.commit !== commit) refuse('commit', report.commit, commit);
  return report;
}

/** What an earlier run wrote. NOT_FOUND without the file, BAD_CONFIG if it holds something else. */
export function readReport(file: string): BenchReport {
  if (!existsSync(file)) {
    throw new NemoError('NOT_FOUND', `there is no file ${file}`, {
      hint: 'nemo bench --out FILE.json makes one',
    });
  }
  const hint = 'give a file that this version of nemo bench wrote with --out';
  const report = parse(file, hint);
  if (report.schema === BENCH_SCHEMA && Array.isArray(report.scenarios)) return report;
  throw new NemoError('BAD_CONFIG', `${file} is no report of schema ${BENCH_SCHEMA}`, { hint });
}

function parse(file: string, hint: string): BenchReport {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as BenchReport;
  } catch (cause) {
    throw new NemoError('BAD_CONFIG', `${file} cannot be read: it is not JSON`, { hint, cause });
  }
}
