/**
 * What is measured. A scenario is composed by its name, `nf/load/pattern/function/arrivals`:
 *
 *   firewall/50/steady/cpu5/closed       half of what the firewall can forward, evenly spaced
 *   nat+firewall/30/bursty/json/poisson  packets pass both NFs, on one core
 *   firewall/50k/steady/cpu5+forks/closed    50,000 packets/s; a hostile function beside an ordinary one
 *   firewall/-/replay/trace/azure        the captured traffic at its own pace, the Azure trace's invocations
 */

import { NemoError } from '../src/model/errors.js';
import type { NfMode } from '../src/model/nf-profile.js';
import { FUNCTION_NAMES } from '../src/packet/functions/index.js';
import { WORKLOAD_NAMES, workloadByName } from './workloads.js';

export const REAL_NFS = ['testpmd', 'ovs', 'nginx', 'haproxy', 'nftables'] as const;
export type RealNf = (typeof REAL_NFS)[number];

const PATTERNS = ['steady', 'bursty', 'replay'] as const;
export type Pattern = (typeof PATTERNS)[number];

const ARRIVALS = ['closed', 'poisson', 'azure', 'none'] as const;
export type Arrivals = (typeof ARRIVALS)[number];

export interface Scenario {
  name: string;
  about: string;
  /** One NF, or the NFs of a chain in the order in which packets pass them. */
  nfs: string[];
  mode: NfMode;
  /** Of the NF's highest rate without loss; null with a fixed rate or a pace of its own. */
  loadRatio: number | null;
  /** A fixed rate, packets/s (requests/s for HTTP); null with a ratio or a pace of its own. */
  packetsPerS: number | null;
  pattern: Pattern;
  functions: string[];
  arrivals: Arrivals;
  /** With replay: a capture of the user's own, an absolute path. */
  capture?: string;
}

/** Scenarios with a short name. */
const ALIASES: Record<string, string> = {
  quick: 'firewall/50k/steady/cpu5/closed',
  replay: 'firewall/-/replay/cpu5/closed',
};

export const FORM = 'nf/load/pattern/function/arrivals, as in firewall/50/steady/cpu5/closed';

export const SCENARIO_CHOICES = [
  `  nf        ${FUNCTION_NAMES.join(', ')} (joined by + they are a chain; :poll after it polls); ${REAL_NFS.join(', ')}`,
  '  load      1 to 100: percent of the highest rate without loss; 50k: packets a second; - with replay',
  `  pattern   ${PATTERNS.join(', ')}`,
  `  function  ${WORKLOAD_NAMES.join(', ')} (joined by +); trace with azure`,
  `  arrivals  ${ARRIVALS.join(', ')}`,
].join('\n');

/** Throws BAD_CONFIG naming the part that is wrong, and its choices. */
export function parseScenario(text: string): Scenario {
  const name = ALIASES[text] ?? text;
  const parts = name.split('/');
  if (parts.length !== 5) {
    throw new NemoError('BAD_CONFIG', `the scenario "${text}" has ${parts.length} parts, not 5`, {
      hint: `a scenario is ${FORM}; or one of: ${Object.keys(ALIASES).join(', ')}`,
    });
  }
  const [nf, load, pattern, functions, arrivals] = parts as [string, string, string, string, string];
  const at = (part: string, value: string, hint: string): NemoError =>
    new NemoError('BAD_CONFIG', `scenario "${text}": the ${part} "${value}" is not known`, { hint });
  const oneOf = <T extends string>(part: string, value: string, choices: readonly T[]): T => {
    if ((choices as readonly string[]).includes(value)) return value as T;
    throw at(part, value, `choose one of: ${choices.join(', ')}`);
  };

  const [nfText, modeText] = nf.split(':') as [string, string | undefined];
  const nfs = nfText.split('+');
  const alone = nfs.length === 1;
  for (const one of nfs) oneOf('NF', one, alone ? [...FUNCTION_NAMES, ...REAL_NFS] : FUNCTION_NAMES);
  if (modeText !== undefined && modeText !== 'poll')
    throw at('mode', modeText, 'only ":poll" may follow an NF');
  const mode: NfMode = modeText === 'poll' || nfs[0] === 'testpmd' ? 'poll' : 'sleep';

  const percent = /^(\d{1,3})$/.exec(load)?.[1];
  const thousands = /^(\d+(?:\.\d+)?)k$/.exec(load)?.[1];
  if (load !== '-' && thousands === undefined && !(Number(percent) >= 1 && Number(percent) <= 100)) {
    throw at(
      'load',
      load,
      '1 to 100 for percent of what the NF can do, "50k" for 50,000 packets/s, or "-" for replay',
    );
  }
  const shape = oneOf('pattern', pattern, PATTERNS);
  if ((shape === 'replay') !== (load === '-')) {
    throw at('load', load, 'replay keeps the pace of the capture: write "-" as its load, and only there');
  }
  const names = functions.split('+');
  for (const one of names) {
    if (one !== 'trace' && !WORKLOAD_NAMES.includes(one)) {
      throw at(
        'function',
        one,
        `choose one of: ${[...WORKLOAD_NAMES, 'trace'].join(', ')}; join several by +`,
      );
    }
  }
  const how = oneOf('arrivals', arrivals, ARRIVALS);
  if ((how === 'azure') !== names.includes('trace')) {
    throw at('function', functions, 'the arrivals "azure" call the function "trace", and only they do');
  }
  const loadRatio = percent === undefined ? null : Number(percent) / 100;
  const packetsPerS = thousands === undefined ? null : Number(thousands) * 1000;
  const scenario = {
    name: text,
    nfs,
    mode,
    loadRatio,
    packetsPerS,
    pattern: shape,
    functions: names,
    arrivals: how,
  };
  return { ...scenario, about: describe(scenario) };
}

function describe(scenario: Omit<Scenario, 'about'>): string {
  const { nfs, mode, loadRatio, packetsPerS, pattern, functions, arrivals } = scenario;
  const unit = ['nginx', 'haproxy'].includes(nfs[0]!) ? 'requests/s' : 'packets/s';
  const load =
    loadRatio !== null
      ? `at ${loadRatio * 100} % load, ${pattern}`
      : packetsPerS !== null
        ? `at ${packetsPerS.toLocaleString('en')} ${unit}, ${pattern}`
        : 'under the captured traffic at its own pace';
  const what = functions.map((name) =>
    name === 'trace' ? 'the functions of the Azure trace' : `${name} (${workloadByName(name).about})`,
  );
  const how = {
    closed: 'called without pause',
    poisson: 'Poisson arrivals',
    azure: 'at the times of the trace, scaled',
    none: 'deployed, not called',
  }[arrivals];
  return `${nfs.join(' then ')}, ${mode} mode, ${load}; ${what.join(' and ')}, ${how}`;
}
