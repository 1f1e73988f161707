/**
 * `nemo doctor`: what this host can do, and what is lost where it cannot. Also the one place that installs what is
 * missing: the demo and the tests call it first, so it has to be quick and silent when all is well.
 */

import type { Command } from 'commander';
import { type HostFacts, readHostFacts } from '../host/host.js';
import { ensurePackages } from '../host/packages.js';
import { asNemoError } from '../model/errors.js';
import { printable } from '../model/printable.js';
import { printJson } from './client.js';
import { canRun, diagnose, type Finding } from './diagnosis/diagnosis.js';
import { RUNTIME_PACKAGES, TEST_PACKAGES } from './diagnosis/packages.js';
import { complain } from './terminal.js';

export interface DoctorOptions {
  json?: boolean;
  install?: boolean;
  withTests?: boolean;
  quiet?: boolean;
}

export function register(program: Command): void {
  program
    .command('doctor')
    .description('say what this host can do and, for each thing missing, what is lost and the way out')
    .option('--json', 'print facts and findings as JSON')
    .option(
      '--install',
      'install missing Debian packages (as root, with apt-get), else print the line to run',
    )
    .option('--with-tests', 'with --install: also the packages that the tests need')
    .option('--quiet', 'print only what keeps NEMO from running')
    .addHelpText(
      'after',
      `
Exit code: 0 if NEMO can run here, 1 if something essential is missing.

Examples:
  nemo doctor
  sudo nemo doctor --install
  nemo doctor --json | jq '.findings[] | select(.state != "ok")'`,
    )
    .action(async (options: DoctorOptions) => {
      process.exitCode = (await doctor(options)) ? 0 : 1;
    });
}

/** Prints to stdout; progress and what is in the way to stderr. True if NEMO can run. */
export async function doctor(options: DoctorOptions): Promise<boolean> {
  const say = (line: string) => complain(`nemo: ${line}\n`);
  let installed = true;
  if (options.install) {
    try {
      const names = options.withTests ? [...RUNTIME_PACKAGES, ...TEST_PACKAGES] : RUNTIME_PACKAGES;
      await ensurePackages(names, { progress: say });
    } catch (thrown) {
      const error = asNemoError(thrown);
      say(`${error.message} [${error.code}]`);
      if (error.hint !== undefined) say(error.hint);
      installed = false;
    }
  }
  const host = await readHostFacts();
  const findings = diagnose(host);
  const ok = canRun(findings) && installed;
  if (options.json) printJson({ schema: 'nemo.doctor/1', ok, host, findings });
  else if (options.quiet) for (const finding of inTheWay(findings)) say(oneLine(finding));
  else process.stdout.write(renderTable(host, findings, process.stdout.isTTY && !process.env.NO_COLOR));
  return ok;
}

export function renderTable(host: HostFacts, findings: readonly Finding[], colour: boolean): string {
  const width = Math.max(...findings.map((finding) => finding.what.length));
  const indent = ' '.repeat(10);
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const lines = [
    `${printable(host.hostname)}: Linux ${host.kernel} ${host.arch}, Node ${host.nodeVersion}, ${gib(host.memoryBytes)} memory` +
      ` (${gib(host.memoryAvailableBytes)} available)${host.virtualisation ? `, on ${printable(host.virtualisation)}` : ''}`,
    '',
  ];
  for (const finding of findings) {
    lines.push(`${paint(finding, colour)} ${finding.what.padEnd(width)}  ${printable(finding.detail)}`);
    if (finding.lost !== undefined) lines.push(`${indent}without it: ${finding.lost}`);
    if (finding.wayOut !== undefined) lines.push(`${indent}way out:    ${finding.wayOut}`);
  }
  const blockers = inTheWay(findings).map((finding) => finding.what);
  lines.push(
    '',
    blockers.length === 0 ? 'NEMO can run here.' : `NEMO cannot run here without: ${blockers.join(', ')}.`,
  );
  return `${lines.join('\n')}\n`;
}

function inTheWay(findings: readonly Finding[]): Finding[] {
  return findings.filter((finding) => finding.essential && finding.state !== 'ok');
}

function oneLine(finding: Finding): string {
  return `${finding.what}: ${finding.detail}; without it, ${finding.lost}. Way out: ${finding.wayOut}`;
}

const RED = 31;
const GREEN = 32;
const YELLOW = 33;

function paint(finding: Finding, colour: boolean): string {
  const word = finding.state.padEnd(9);
  if (!colour) return word;
  const code = finding.state === 'ok' ? GREEN : finding.essential ? RED : YELLOW;
  return `\u001b[${code}m${word}\u001b[0m`;
}
