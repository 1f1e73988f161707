/** Named sets of scenarios, and what of each is run: policies, rounds, seconds. */

import { NemoError } from '../src/model/errors.js';
import { FUNCTION_NAMES } from '../src/packet/functions/index.js';
import { parseScenario, type Scenario } from './scenarios.js';
import { WORKLOAD_NAMES, workloadByName } from './workloads.js';

export interface PlanEntry {
  scenario: Scenario;
  policies: readonly string[];
  rounds: number;
  seconds: number;
  /** Starts probed in a round: each a call of a function that never ran. */
  startProbes: number;
  /** Also measures the invoke path and the agent without load. */
  box: boolean;
}

interface Row {
  names: readonly string[];
  policies?: readonly string[];
  rounds?: number;
  seconds?: number;
  startProbes?: number;
  box?: boolean;
}

const BASIC = ['solo', 'naive', 'nemo'];
const EVERY = [
  'solo',
  'naive',
  'nice19',
  'quota',
  'static',
  'idle',
  'nemo-no-conflict',
  'nemo-no-predict',
  'nemo',
];
const LOADS = [10, 30, 50, 70, 90];
const ordinary = WORKLOAD_NAMES.filter((name) => !workloadByName(name).hostile);
const hostile = WORKLOAD_NAMES.filter((name) => workloadByName(name).hostile);
/** Those that the published run has: they take what the NF needs. The others attack the agent. */
const DISTURBING = ['forks', 'memstream', 'loopflood', 'churn'];
const CHAINS = ['nat+firewall', 'firewall+dpi'];
const REAL = [
  'nginx/50/steady',
  'haproxy/50/steady',
  'nftables/20k/steady',
  'ovs/10k/steady',
  'testpmd/20k/steady',
];

const SETS: Record<string, { about: string; rows: Row[] }> = {
  quick: {
    about: 'the firewall at 50,000 packets/s, starts, and the box without load',
    rows: [{ names: ['quick'], rounds: 3, startProbes: 5, box: true }],
  },
  replay: {
    about: 'the firewall under the captured traffic at its own pace',
    rows: [{ names: ['replay'], rounds: 3, seconds: 14, startProbes: 6 }],
  },
  loads: {
    about: 'the firewall at 10 to 90 % load, steady and in bursts',
    rows: [
      { names: LOADS.map((load) => `firewall/${load}/steady/cpu5/closed`), rounds: 9 },
      { names: [30, 50, 70].map((load) => `firewall/${load}/bursty/cpu5/closed`), rounds: 5 },
    ],
  },
  nfs: {
    about: 'each reference NF at 50 % load',
    rows: [{ names: FUNCTION_NAMES.map((nf) => `${nf}/50/steady/cpu5/closed`), rounds: 5 }],
  },
  functions: {
    about: 'each ordinary function beside the firewall, without pause and by Poisson arrivals',
    rows: [
      { names: ordinary.map((name) => `firewall/50/steady/${name}/closed`), rounds: 3 },
      { names: ['cpu1', 'cpu5', 'cpu50'].map((name) => `firewall/50/steady/${name}/poisson`), rounds: 3 },
    ],
  },
  hostile: {
    about: 'each hostile function beside an ordinary one',
    rows: [
      {
        names: hostile.map((name) => `firewall/50/steady/cpu5+${name}/closed`),
        policies: ['solo', 'nemo'],
        rounds: 5,
      },
    ],
  },
  azure: {
    about: 'invocations of the Azure trace, scaled in time: how calls start',
    rows: [
      { names: ['firewall/50/steady/trace/azure'], policies: ['naive', 'nemo'], rounds: 5, seconds: 60 },
    ],
  },
  chains: {
    about: 'two NFs on one core',
    rows: [{ names: CHAINS.map((nf) => `${nf}/50/steady/cpu5/closed`), rounds: 5 }],
  },
  real: {
    about: 'nginx, haproxy, nftables, Open vSwitch and testpmd',
    rows: [{ names: REAL.map((nf) => `${nf}/cpu5/closed`), rounds: 5 }],
  },
  ablation: {
    about: 'every policy, at a load where they differ, and beside a hostile function',
    rows: [
      { names: ['firewall/50/steady/cpu5/closed'], policies: EVERY, rounds: 5, startProbes: 3 },
      { names: ['firewall/70/bursty/cpu5+memstream/closed'], policies: EVERY, rounds: 3 },
    ],
  },
  headline: {
    about: 'what the README shows: the firewall at 30 to 90 % load, real NFs, the Azure trace, every policy',
    rows: [
      { names: [30, 50, 70].map((load) => `firewall/${load}/steady/cpu5/closed`), rounds: 9 },
      { names: ['firewall/90/steady/cpu5/closed'], rounds: 5 },
      { names: REAL.map((nf) => `${nf}/cpu5/closed`), policies: ['solo', 'nemo'], rounds: 3 },
      { names: ['firewall/50/steady/trace/azure'], policies: ['naive', 'nemo'], rounds: 2, seconds: 60 },
      { names: ['firewall/50/bursty/cpu5/closed'], policies: EVERY, rounds: 3 },
      { names: ['nat+firewall/50/steady/cpu5/closed'], policies: ['solo', 'nemo'], rounds: 3 },
      {
        names: DISTURBING.map((name) => `firewall/50/steady/cpu5+${name}/closed`),
        policies: ['solo', 'nemo'],
        rounds: 2,
      },
    ],
  },
  full: {
    about: 'what backs every figure that is published: half an hour',
    rows: [
      { names: ['quick'], rounds: 5, startProbes: 5, box: true },
      { names: [30, 50, 70].map((load) => `firewall/${load}/steady/cpu5/closed`), rounds: 9 },
      { names: ['firewall/90/steady/cpu5/closed'], rounds: 5 },
      { names: ['firewall/10/steady/cpu5/closed'], rounds: 3 },
      { names: ['firewall/50/bursty/cpu5/closed'], policies: EVERY, rounds: 3, startProbes: 3 },
      { names: ['firewall/50/steady/trace/azure'], policies: ['naive', 'nemo'], rounds: 2, seconds: 60 },
      { names: ['replay'], rounds: 2, seconds: 14 },
      ...[
        hostile.map((name) => `firewall/50/steady/cpu5+${name}/closed`),
        ordinary.filter((name) => name !== 'cpu5').map((name) => `firewall/50/steady/${name}/closed`),
        ['firewall/50/steady/cpu50/poisson'],
        ['nat', 'lb', 'router', 'dpi', 'tunnel', 'nat+firewall'].map((nf) => `${nf}/50/steady/cpu5/closed`),
        REAL.map((nf) => `${nf}/cpu5/closed`),
      ].map((names) => ({ names, policies: ['solo', 'nemo'], rounds: 3 })),
    ],
  },
};

export const SET_NAMES: readonly string[] = Object.keys(SETS);

export function listSets(): Array<{ name: string; about: string; plan: PlanEntry[] }> {
  return Object.entries(SETS).map(([name, { about }]) => ({ name, about, plan: planOf(name) }));
}

/** The plan of a set, or of a single scenario by its name. Throws BAD_CONFIG. */
export function planOf(name: string): PlanEntry[] {
  const rows = Object.hasOwn(SETS, name) ? SETS[name]!.rows : undefined;
  if (rows === undefined && !name.includes('/')) {
    throw new NemoError('BAD_CONFIG', `no set of scenarios is called "${name}"`, {
      hint: `choose one of: ${SET_NAMES.join(', ')}; or compose a scenario, as in firewall/50/steady/cpu5/closed`,
    });
  }
  return (rows ?? [{ names: [name] }]).flatMap((row) =>
    row.names.map((one) => ({
      scenario: parseScenario(one),
      policies: row.policies ?? BASIC,
      rounds: row.rounds ?? 3,
      seconds: row.seconds ?? 2,
      startProbes: row.startProbes ?? 0,
      box: row.box ?? false,
    })),
  );
}

/** Keeps the scenarios whose name holds the text; `*` stands for anything. Throws BAD_CONFIG if none is left. */
export function only(plan: PlanEntry[], pattern: string): PlanEntry[] {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const matcher = new RegExp(parts.join('.*'));
  const kept = plan.filter(({ scenario }) => matcher.test(scenario.name));
  if (kept.length > 0) return kept;
  throw new NemoError('BAD_CONFIG', `no scenario fits --only "${pattern}"`, {
    hint: `there are: ${plan.map(({ scenario }) => scenario.name).join(', ')}`,
  });
}
