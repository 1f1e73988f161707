/** The deployed functions: how much is asked of them, how fast they answer, and in which sandboxes. */

import type { FeedFunction } from '../../model/feed.js';
import { SandboxChips } from './chips.js';
import { count, millis, perSecond } from './format.js';
import { Cell, TableSection } from './parts.js';

const FIGURES = ['Rate', 'p50', 'p99', 'In flight', 'Queued', 'Completed', 'Failed', 'Starts'];
const COLUMNS = ['Function', ...FIGURES, { name: 'Sandboxes', class: 'left' }];

export function FunctionSection({ functions }: { functions: FeedFunction[] }) {
  return (
    <TableSection
      id="functions"
      title="Functions"
      columns={COLUMNS}
      items={functions}
      row={(fn) => <FunctionRow key={fn.name} fn={fn} />}
    >
      No function yet: <code>nemo deploy samples/hello.ts</code>
    </TableSection>
  );
}

function FunctionRow({ fn }: { fn: FeedFunction }) {
  return (
    <tr data-function={fn.name}>
      <th scope="row">
        <span class="strong">{fn.name}</span>
      </th>
      <Cell label="Rate" data-number="rate">
        {perSecond(fn.ratePerS)}
      </Cell>
      <Cell label="p50" data-number="p50">
        {millis(fn.p50Ms)}
      </Cell>
      <Cell label="p99" data-number="p99">
        {millis(fn.p99Ms)}
      </Cell>
      <Cell label="In flight" data-number="inFlight">
        {count(fn.inFlight)}
      </Cell>
      <Cell label="Queued" data-number="queued">
        {count(fn.queued)}
      </Cell>
      <Cell label="Completed" data-number="completed">
        {count(fn.completed)}
      </Cell>
      <Cell label="Failed" data-number="failed">
        {fn.failed > 0 ? <span class="bad">{count(fn.failed)}</span> : '0'}
      </Cell>
      <Cell label="Starts" data-number="starts">
        <span
          class="starts"
          title="Starts by kind: no sandbox was there; a stem got the code; the code was loaded"
        >
          <span class="muted">cold</span> {count(fn.starts.cold)} <span class="muted">stem</span>{' '}
          {count(fn.starts.stem)} <span class="muted">warm</span> {count(fn.starts.warm)}
        </span>
      </Cell>
      <Cell label="Sandboxes" class="left">
        <SandboxChips owner={fn.name} sandboxes={fn.sandboxes} />
      </Cell>
    </tr>
  );
}
