/** `nemo nf`: the NFs of this box, the profiles by which they are recognised, and the reference NFs. */

import type { Command } from 'commander';
import { agentNames } from '../guard/agent-lock.js';
import { formatCpuList } from '../linux/process.js';
import { NemoError } from '../model/errors.js';
import type { FeedFrame, FeedNf } from '../model/feed.js';
import { maskUrl } from '../model/mask-url.js';
import type { NfInstance } from '../model/nf-profile.js';
import { discover } from '../nf/discovery.js';
import { BUILTIN_PROFILES, loadProfiles } from '../nf/profiles.js';
import { scanForNfs } from '../nf/scan.js';
import { standingNotes, standingOfNf } from '../nf/standing.js';
import { AgentClient, type AgentOptions, agentOptions, printJson } from './client.js';
import { registerRun } from './nf-run.js';
import { formatTable } from './table.js';
import { complain, print } from './terminal.js';

interface ProfileOptions {
  profiles: string[];
  json?: boolean;
}

const LS_EXAMPLE = `
Without an agent it looks once itself: no latency, no spare time then.

Example:
  nemo nf ls --json | jq -r '.nfs[] | "\\(.id) \\(.cores)"'`;

const PROFILES_EXAMPLE = `
Example:
  nemo nf profiles --profiles /etc/nemo/profiles`;

const SCAN_EXAMPLE = `
Processes that a profile knows already are left out. Read a proposal before you use it; docs/write-a-profile.md tells how.

Example:
  nemo nf scan > /etc/nemo/profiles/mine.yaml`;

export function register(program: Command): void {
  const nf = program.command('nf').description('network functions: running ones, profiles, reference NFs');
  const ls = nf
    .command('ls')
    .description('list the NFs that run on this box, with their cores, mode, SLO, latency and spare time')
    .addHelpText('after', LS_EXAMPLE);
  profileOption(agentOptions(ls)).action(list);
  profileOption(nf.command('profiles').description('list the known kinds of NF'))
    .option('--json', 'print JSON for scripts')
    .addHelpText('after', PROFILES_EXAMPLE)
    .action(listProfiles);
  profileOption(nf.command('scan').description('propose a profile for each process that looks like an NF'))
    .option('--json', 'print JSON for scripts')
    .addHelpText('after', SCAN_EXAMPLE)
    .action(scan);
  registerRun(nf);
}

function profileOption(command: Command): Command {
  return command.option('--profiles <dirs...>', 'directories with profiles of your own', []);
}

async function list(options: AgentOptions & ProfileOptions): Promise<void> {
  const running = await askAgent(options.agent);
  if (running !== undefined) {
    if (options.json) printJson({ source: 'agent', nfs: running });
    else {
      printTable(HEADINGS, running.map(agentRow), 'no NF runs here');
      for (const nf of running) for (const note of notesOf(nf)) print(`${note}\n`);
    }
    return;
  }
  const found = look(options);
  if (options.json) {
    printJson({ source: 'discovery', nfs: found });
    return;
  }
  complain(`no agent answers at ${maskUrl(options.agent)}: this is what runs now, without measurements\n`);
  printTable(HEADINGS.slice(0, 7), found.map(discoveredRow), 'no NF of a known profile runs here');
  for (const nf of found) {
    for (const note of standingNotes(standingOfNf(nf))) print(`${nf.id}: ${note}\n`);
  }
}

/** What is not as it should be, one line each. */
function notesOf({ id, harvest, sloNote, latencyFault, groups = [] }: FeedNf): string[] {
  return [
    ...(harvest?.why === undefined ? [] : [`${id} is not harvested: ${harvest.why}`]),
    ...(sloNote === undefined ? [] : [`${id} does not hold its SLO: ${sloNote}`]),
    ...(latencyFault === undefined ? [] : [`${id}: nothing is known of its packets: ${latencyFault}`]),
    ...groups.map((note) => `${id}: ${note}`),
  ];
}

/** What runs now. Processes that are called like an NF but are not believed are named on stderr. */
function look({ profiles }: ProfileOptions): NfInstance[] {
  return discover(loadProfiles([BUILTIN_PROFILES, ...profiles]), [], {
    agents: agentNames,
    onRefused: (sentence) => complain(`${sentence}\n`),
  });
}

/** undefined without an agent. */
async function askAgent(agent: string): Promise<FeedNf[] | undefined> {
  try {
    const frame = await new AgentClient(agent).json<FeedFrame>({ method: 'GET', path: '/v1/status' });
    return frame.nfs;
  } catch (thrown) {
    if (thrown instanceof NemoError && thrown.code === 'AGENT_UNREACHABLE') return undefined;
    throw thrown;
  }
}

const HEADINGS = [
  'NF',
  'PID',
  'MODE',
  'CORES',
  'THREADS',
  'PACKET',
  'SLO us',
  'P50 us',
  'P99 us',
  'BUSY',
  'SPARE',
  'HARVEST',
  'PACKETS/s',
  'DROPS/s',
];

function agentRow(nf: FeedNf): string[] {
  const packet = nf.threads.filter((thread) => thread.packet).length;
  const held = nf.sloHeld === false ? ' !' : '';
  const us = (value: number | null) => (value === null ? '-' : String(Math.round(value)));
  const percent = (ratio: number) => `${Math.round(ratio * 100)}%`;
  return [
    ...[nf.id, String(nf.pid), nf.mode, formatCpuList(nf.cores) || 'any'],
    ...[String(nf.threads.length), String(packet), String(nf.sloUs)],
    ...[us(nf.p50Us), us(nf.p99Us) + held, percent(nf.busyRatio), percent(nf.spareRatio)],
    nf.harvest?.how ?? '-',
    // What the NF tells of itself; few do.
    ...[us(nf.telemetry?.packetsPerS ?? null), us(nf.telemetry?.dropsPerS ?? null)],
  ];
}

function discoveredRow(nf: NfInstance): string[] {
  const packet = nf.threads.filter((thread) => thread.packet).length;
  return [
    ...[nf.id, String(nf.pid), nf.profile.mode, formatCpuList(nf.cores) || 'any'],
    ...[String(nf.threads.length), String(packet), String(nf.profile.sloP99Us)],
  ];
}

async function scan(options: ProfileOptions): Promise<void> {
  const known = look(options);
  const proposals = await scanForNfs(new Set(known.map((nf) => nf.pid)), agentNames());
  if (options.json) printJson({ proposals });
  else print(proposals.map(({ yaml }) => yaml).join('---\n'));
  if (proposals.length === 0 && !options.json) complain('no other process looks like an NF\n');
}

function listProfiles(options: ProfileOptions): void {
  const profiles = loadProfiles([BUILTIN_PROFILES, ...options.profiles]);
  if (options.json) {
    printJson({ profiles });
    return;
  }
  const rows = profiles.map(({ name, title, mode, sloP99Us, latency, protection }) => {
    const protects =
      protection.value === undefined ? protection.kind : `${protection.kind}:${protection.value}`;
    return [name, mode, String(sloP99Us), latency.source, protects, title];
  });
  printTable(['NAME', 'MODE', 'SLO us', 'LATENCY', 'PROTECTION', 'WHAT'], rows, 'no profiles');
}

function printTable(headings: readonly string[], rows: string[][], otherwise: string): void {
  print(rows.length === 0 ? `${otherwise}\n` : formatTable(headings, rows));
}
