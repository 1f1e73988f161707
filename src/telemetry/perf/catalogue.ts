/** The kinds of collectors. Each sandbox is measured by the first that fits it. */

import type { PerfCollector } from './collector.js';
import { ProcessTreeCollector } from './process-tree.js';
import { ThreadCollector } from './thread.js';

export function perfCollectors(): PerfCollector[] {
  return [new ThreadCollector(), new ProcessTreeCollector()];
}
