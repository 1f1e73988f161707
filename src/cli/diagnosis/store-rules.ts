/** What boxes that share state need. */

import { installLine } from '../../host/packages.js';
import type { Rule } from './rule.js';

export const STORE_RULES: readonly Rule[] = [
  {
    what: 'redis',
    state: (host) => (host.redis ? 'ok' : 'missing'),
    detail: (host) => (host.redis ? 'answers on 127.0.0.1:6379' : 'nothing answers on 127.0.0.1:6379'),
    lost: 'nothing on one box, which keeps its state in its embedded store',
    wayOut: () => `only where boxes share state: ${installLine(['redis-server'])}`,
  },
];
