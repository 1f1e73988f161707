/** The network functions: who they are, how they are protected, and whether they keep their promise. */

import type { FeedNf } from '../../model/feed.js';
import { micros, percent } from './format.js';
import { Cell, TableSection } from './parts.js';

const LATENCY = ['Latency source', 'p50', 'p99', 'p99.9', 'SLO (p99)'];
const COLUMNS = ['NF', 'PID', 'Cores', 'Mode', 'Protection', ...LATENCY, 'Busy', 'Spare'];

export function NfSection({ nfs }: { nfs: FeedNf[] }) {
  return (
    <TableSection
      id="nfs"
      title="Network functions"
      columns={COLUMNS}
      items={nfs}
      row={(nf) => <NfRow key={nf.id} nf={nf} />}
    >
      No network function found. Known kinds: <code>nemo nf profiles</code>. To try one:{' '}
      <code>nemo nf run firewall --in IF --out IF</code>
    </TableSection>
  );
}

function NfRow({ nf }: { nf: FeedNf }) {
  const gone = nf.state === 'gone';
  const threads = nf.threads.map(
    (thread) => `${thread.name} (${thread.tid}) on core ${thread.core}${thread.packet ? ', packets' : ''}`,
  );
  return (
    <tr data-nf={nf.id} class={gone ? 'gone' : undefined}>
      <th scope="row">
        <span class="strong">{nf.id}</span>
        {nf.profile !== nf.id && <span class="muted sub">{nf.profile}</span>}
        {gone && <span class="badge throttled">gone</span>}
      </th>
      <Cell label="PID">{nf.pid}</Cell>
      <Cell label="Cores">
        <span title={threads.join('\n')}>{nf.cores.join(', ') || '–'}</span>
      </Cell>
      <Cell label="Mode">{nf.mode}</Cell>
      <Cell label="Protection">
        {nf.protection === 'none' ? <span class="warn">none</span> : <code>{nf.protection}</code>}
      </Cell>
      <Cell label="Latency source">{nf.latencySource}</Cell>
      <Cell label="p50" data-number="p50">
        {micros(nf.p50Us)}
      </Cell>
      <Cell label="p99" data-number="p99">
        {micros(nf.p99Us)}
      </Cell>
      <Cell label="p99.9" data-number="p999">
        {micros(nf.p999Us)}
      </Cell>
      <Cell label="SLO (p99)" data-number="slo">
        {micros(nf.sloUs)} <Verdict held={nf.sloHeld} />
      </Cell>
      <Cell label="Busy">{percent(nf.busyRatio)}</Cell>
      <Cell label="Spare">{percent(nf.spareRatio)}</Cell>
    </tr>
  );
}

function Verdict({ held }: { held: boolean | null }) {
  if (held === null) return <span class="verdict muted">not known</span>;
  return held ? <span class="verdict good">✓ held</span> : <span class="verdict bad">✕ broken</span>;
}
