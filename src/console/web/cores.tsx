/** The cores without an NF: the agent, the gateway and the kernel live there. One bar each, of now. */

import type { FeedCore } from '../../model/feed.js';
import { percent } from './format.js';
import { Empty, Section } from './parts.js';

export function CoreSection({ cores }: { cores: FeedCore[] }) {
  return (
    <Section id="cores" title="Other cores">
      {cores.length === 0 ? (
        <Empty>Every core of this host runs an NF; the agent shares one of them.</Empty>
      ) : (
        <ul class="card core-list">
          {cores.map((core) => (
            <CoreRow key={core.core} core={core} />
          ))}
        </ul>
      )}
    </Section>
  );
}

function CoreRow({ core }: { core: FeedCore }) {
  const busy = 1 - core.idleRatio;
  return (
    <li data-core-row={core.core}>
      <div class="core-line">
        <span class="strong">Core {core.core}</span>
        <span class="muted">{core.role}</span>
        <span class="value">{percent(busy)} busy</span>
      </div>
      <div
        class="bar"
        role="img"
        aria-label={`Core ${core.core}: functions ${percent(core.functionRatio)}, other ${percent(core.otherRatio)}, idle ${percent(core.idleRatio)}`}
      >
        <i class="nf" style={{ width: `${core.nfRatio * 100}%` }} />
        <i class="function" style={{ width: `${core.functionRatio * 100}%` }} />
        <i class="other" style={{ width: `${core.otherRatio * 100}%` }} />
      </div>
    </li>
  );
}
