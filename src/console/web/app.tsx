/** The page. Rendered anew from the model a few times a second; the charts inside keep their own, faster pace. */

import type { LinkStatus } from './connection.js';
import { CoreSection } from './cores.js';
import { EventSection } from './events.js';
import { FunctionSection } from './function-table.js';
import { Banners, Header } from './header.js';
import { LaneCard } from './lane.js';
import type { ConsoleModel } from './model.js';
import { NfSection } from './nf-table.js';
import { Overview } from './overview.js';
import { Empty, Section } from './parts.js';

interface AppProps {
  model: ConsoleModel;
  link: LinkStatus;
  nowMs: number;
  onRetry: () => void;
}

export function App({ model, link, nowMs, onRetry }: AppProps) {
  const { frame } = model;
  return (
    <>
      <Header model={model} link={link} />
      <main class={link.state === 'live' ? 'page' : 'page stale'}>
        <Banners model={model} link={link} nowMs={nowMs} onRetry={onRetry} />
        {!frame && link.state === 'connecting' && (
          <Empty>
            Waiting for the agent at {location.host}. Is it running? <code>nemo up</code> starts it.
          </Empty>
        )}
        {frame && (
          <>
            <Overview frame={frame} />
            <Lanes model={model} />
            <NfSection nfs={frame.nfs} />
            <FunctionSection functions={frame.functions} />
            <div class="split">
              <CoreSection cores={frame.cores.filter((core) => !model.lanes.has(core.core))} />
              <EventSection model={model} />
            </div>
            <footer class="muted">
              nemo {frame.agent.version} · {frame.schema} · frame {frame.seq}
            </footer>
          </>
        )}
      </main>
    </>
  );
}

const LEGEND: Array<[swatch: string, text: string]> = [
  ['nf', 'NF'],
  ['function', 'Functions'],
  ['other', 'Other'],
  ['idle', 'Idle'],
  ['throttle', 'Throttled'],
  ['p50', 'Packet p50'],
  ['p99', 'Packet p99'],
  ['slo', 'SLO'],
];

function Lanes({ model }: { model: ConsoleModel }) {
  const lanes = model.sortedLanes();
  const nfs = model.frame!.nfs;
  return (
    <Section
      id="lanes"
      title="NF cores, last 60 s"
      aside={
        <ul class="legend" aria-label="Legend">
          {LEGEND.map(([swatch, text]) => (
            <li key={swatch}>
              <i class={`swatch ${swatch}`} aria-hidden="true" />
              {text}
            </li>
          ))}
        </ul>
      }
    >
      {lanes.length === 0 ? (
        <Empty>
          No NF core yet: a core appears here when a network function runs on it. See <code>nemo nf ls</code>.
        </Empty>
      ) : (
        lanes.map((lane) => (
          <LaneCard
            key={lane.core}
            lane={lane}
            model={model}
            nfs={nfs.filter((nf) => nf.state === 'running' && nf.cores.includes(lane.core))}
          />
        ))
      )}
    </Section>
  );
}
