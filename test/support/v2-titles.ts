/** Names of the checks that run only in the v2 guest, known to both sides of the console. */
export const V2_TITLES = {
  layout: 'recognises v2, where one file joins a group',
  swap: 'gives a limited group no swap',
  peers: 'moves the processes of a container aside to pass controllers on, and puts them back',
  unplug: 'has functions leave a core that is unplugged, for real, and come back with it',
  memoryKept:
    'keeps what a guarded NF uses from reclaim, with the groups above it, and puts back what there was on release',
  memoryAfterKill: 'puts it back after the agent was killed, by the guardian or at the next start',
  memoryShared: 'keeps nothing for an NF that shares its group, or runs in the root group, and says so',
  clock: 'goes on harvesting and throttling when the wall clock is set forth and back by minutes',
} as const;
