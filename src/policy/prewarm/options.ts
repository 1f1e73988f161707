/** The option that most prewarm policies have. */

import { POOL } from '../../tunables/index.js';

export const STEMS = {
  kind: 'count',
  default: POOL.stems,
  about: 'stems kept of each runtime in use',
} as const;
