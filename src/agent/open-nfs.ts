/** The NFs of the box, as the configuration and what the host can do have them watched, protected and lent. */

import type { AgentConfig } from '../config/config.js';
import { agentNames } from '../guard/agent-lock.js';
import { NfManager, type NfManagerOptions } from '../guard/manager.js';
import type { CgroupDriver } from '../linux/cgroup/driver.js';
import { BUILTIN_PROFILES, loadProfiles } from '../nf/profiles.js';
import type { NfProtection } from '../nf/protection.js';
import { SleepControls } from '../nf/sleep-control.js';
import type { BoxPolicy } from '../policy/harvest/policies.js';
import type { AgentHost } from './agent-host.js';

/** Of the agent's own parts. */
interface Parts extends Pick<NfManagerOptions, 'control' | 'events' | 'claims' | 'onExcluded'> {
  driver: CgroupDriver;
  protection: NfProtection;
  coreScheduling: AgentHost['coreScheduling'];
}

/** Not started yet. BAD_PROFILE. */
export async function openNfs(
  config: AgentConfig,
  { driver, protection, coreScheduling, ...parts }: Parts,
): Promise<NfManager> {
  const { policy } = config;
  const wanted = config.discovery || config.nfs.length > 0;
  return new NfManager({
    ...parts,
    profiles: wanted ? loadProfiles([BUILTIN_PROFILES, ...config.profileDirs]) : [],
    explicit: config.nfs,
    discovery: config.discovery,
    users: config.nfUsers,
    agents: agentNames,
    functionCores: config.functionCores,
    allowSmtSiblings: config.allowSmtSiblings,
    apartFrom: coreScheduling === 'unsupported' ? config.housekeepingCores : undefined,
    protection: policy.protectNf ? protection : undefined,
    sleepControls: policy.scheduling === 'idle' ? await SleepControls.start(config.stateDir) : undefined,
    slicesRefused: slicesRefused(policy, driver),
    periodMs: config.discoveryPeriodMs,
  });
}

/** Why no polling core may be lent in slices; undefined: they may. */
function slicesRefused(policy: BoxPolicy, driver: CgroupDriver): string | undefined {
  if (policy.scheduling !== 'idle') return `the policy ${policy.name} lends no slices`;
  // Without it, what is lent would not end with its slice.
  if (driver.missing.includes('cpu')) return 'slices need the cpu cgroup controller';
  return undefined;
}
