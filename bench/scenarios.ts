/** What is measured: the NF, its traffic and the functions that are called. One entry a scenario. */

import { fileURLToPath } from 'node:url';
import { NemoError } from '../src/errors.js';
import type { NfMode } from '../src/nf/profile.js';
import type { TrafficSpec } from '../src/packet/traffic/spec.js';

export interface Scenario {
  name: string;
  about: string;
  nfProfile: string;
  mode: NfMode;
  traffic: TrafficSpec;
  /** Busy milliseconds of CPU of the called function. */
  functionMs: number;
  callers: number;
  /** Starts probed in a round: each a call of a function that never ran. */
  startProbes: number;
  roundsDefault: number;
  secondsDefault: number;
  /** Also measures the invoke path and the agent without load. */
  box: boolean;
}

const CAPTURE = fileURLToPath(new URL('../../data/openNetVM-64B_download.pcap', import.meta.url));

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'quick',
    about: 'sleep-mode firewall at 50,000 packets/s, four callers of a 5 ms CPU-bound function',
    nfProfile: 'firewall',
    mode: 'sleep',
    traffic: { kind: 'rate', packetsPerS: 50_000 },
    functionMs: 5,
    callers: 4,
    startProbes: 5,
    roundsDefault: 3,
    secondsDefault: 2,
    box: true,
  },
  {
    name: 'replay',
    about: 'sleep-mode firewall under the captured traffic at its own pace, four callers of a 5 ms function',
    nfProfile: 'firewall',
    mode: 'sleep',
    traffic: { kind: 'capture', path: CAPTURE, speed: 1 },
    functionMs: 5,
    callers: 4,
    startProbes: 6,
    roundsDefault: 3,
    secondsDefault: 14,
    box: false,
  },
];

export const SCENARIO_NAMES: readonly string[] = SCENARIOS.map((scenario) => scenario.name);

/** Throws BAD_CONFIG naming the known scenarios. */
export function scenarioByName(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) {
    throw new NemoError('BAD_CONFIG', `no scenario is called "${name}"`, {
      hint: `choose one of: ${SCENARIO_NAMES.join(', ')}`,
    });
  }
  return found;
}

export function listScenarios(): readonly Scenario[] {
  return SCENARIOS;
}
