/**
 * The SLO that a scenario's NFs get: their profile's; or, where the NF alone does not hold that at this load, twice the
 * p99 that it has alone. An operator who asks for less is told that the SLO is unmeetable, and nothing is harvested.
 */

import type { UserConfig } from '../src/config/config-schema.js';
import { BUILTIN_PROFILES, loadProfiles } from '../src/nf/profiles.js';
import { median } from './statistics.js';

/** How often, and for how many seconds each, the NF alone is measured for that. */
export const SLO_LOOKS = 3;
export const SLO_LOOK_S = 1;

const PROFILES: Readonly<Record<string, string>> = { testpmd: 'dpdk-testpmd', ovs: 'ovs-vswitchd' };
const profileOf = (nf: string): string => PROFILES[nf] ?? nf;

/** `soloP99Us`: of several looks at the NF alone. Microseconds; the strictest profile of a chain counts. */
export function sloFor(nfs: readonly string[], soloP99Us: readonly number[]): number {
  const wanted = nfs.map(profileOf);
  const asked = loadProfiles([BUILTIN_PROFILES])
    .filter(({ name }) => wanted.includes(name))
    .map(({ sloP99Us }) => sloP99Us);
  return Math.max(Math.min(...asked), Math.ceil((2 * (median(soloP99Us) ?? 0)) / 100) * 100);
}

/** The bed's configuration with that SLO for each of its NFs. */
export function withSlo(
  config: Partial<UserConfig>,
  nfs: readonly string[],
  sloP99Us: number,
): Partial<UserConfig> {
  const entries = [...(config.nfs ?? [])];
  for (const profile of new Set(nfs.map(profileOf))) {
    if (!entries.some((entry) => entry.profile === profile)) entries.push({ profile });
  }
  return {
    ...config,
    nfs: entries.map((entry) => ({ ...entry, overrides: { ...entry.overrides, sloP99Us } })),
  };
}
