/** The five figures that say how the box is doing, before any detail. */

import type { FeedFrame } from '../../model/feed.js';
import { count, percent, perSecond, plural, share } from './format.js';
import { boxTotals } from './model.js';

export function Overview({ frame }: { frame: FeedFrame }) {
  const box = boxTotals(frame);
  const broken = box.slosKnown - box.slosHeld;
  return (
    <dl class="tiles" aria-label="Overview">
      <Tile
        name="slo"
        term="Packet SLO"
        value={box.slosKnown === 0 ? 'no verdict' : `${box.slosHeld} of ${box.slosKnown} held`}
        note={broken > 0 ? `${plural(broken, 'NF')} above its SLO` : plural(box.nfs, 'network function')}
        tone={broken > 0 ? 'bad' : box.slosKnown > 0 ? 'good' : undefined}
      />
      <Tile
        name="efficiency"
        term="Harvest efficiency"
        value={percent(share(box.harvestedS, box.spareS))}
        note="of the spare time, since start"
      />
      <Tile
        name="now"
        term="Harvesting now"
        value={`${box.functionCores.toFixed(2)}\u00a0cores`}
        note={`of ${plural(box.nfCores, 'NF core')}`}
      />
      <Tile
        name="rate"
        term="Function calls"
        value={perSecond(box.callsPerS)}
        note={`${count(box.completed)} done, ${count(box.failed)} failed`}
      />
      <Tile
        name="conflicts"
        term="Conflicts"
        value={count(box.conflicts)}
        note={`${plural(box.sandboxes, 'sandbox', 'sandboxes')} in use or kept`}
      />
    </dl>
  );
}

interface TileProps {
  name: string;
  term: string;
  value: string;
  note: string;
  tone?: 'good' | 'bad' | undefined;
}

function Tile({ name, term, value, note, tone }: TileProps) {
  return (
    <div class={`card tile ${tone ?? ''}`} data-tile={name}>
      <dt>{term}</dt>
      <dd>{value}</dd>
      <dd class="muted">{note}</dd>
    </div>
  );
}
