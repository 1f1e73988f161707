/** The ladders by name. To add one: write its file in `ladders/`, list it here, and name it in a box policy. */

import type { LadderRule } from './ladder-rule.js';
import { exponentialBackoff } from './ladders/exponential-backoff.js';

export const LADDER_RULES = {
  'exponential-backoff': exponentialBackoff,
} as const satisfies Record<string, LadderRule>;

export type LadderName = keyof typeof LADDER_RULES;
