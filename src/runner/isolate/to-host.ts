/** What the agent and the main thread of a process of isolates say to each other: one JSON object a line. */

/** Agent to host. */
export type ToHost =
  | { op: 'spawn'; id: string; token: string; heapMb: number; stackMb: number; youngMb: number }
  | { op: 'end'; id: string };
/** Host to agent. `id` is the spawn's; `oom`: the thread reached its heap limit. */
export type FromHost = { event: 'up' } | { event: 'exit'; id: string; oom: boolean; code: number };

/** An argument of that program: its threads share what they compile. */
export const SHARES_MODULES = 'shares-modules';
