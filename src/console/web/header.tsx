/** Who is being watched, and whether what stands on the page is true right now. */

import type { FeedAgent } from '../../model/feed.js';
import type { LinkStatus } from './connection.js';
import { bytes, count, duration, micros, percent, plural } from './format.js';
import type { ConsoleModel } from './model.js';

const STATES: Record<LinkStatus['state'], { mark: string; text: string }> = {
  live: { mark: '●', text: 'Live' },
  connecting: { mark: '◌', text: 'Connecting' },
  lost: { mark: '✕', text: 'Disconnected' },
  foreign: { mark: '✕', text: 'Other version' },
};

export function Header({ model, link }: { model: ConsoleModel; link: LinkStatus }) {
  const agent = model.frame?.agent;
  const { mark, text } = STATES[link.state];
  return (
    <header class="top">
      <div class="brand">
        <img src="./favicon.svg" alt="" width="30" height="30" />
        <div class="brand-text">
          <h1>NEMO</h1>
          <span class="muted ellipsis" data-agent="host">
            {agent ? agent.hostname : location.host}
          </span>
        </div>
        {agent && (
          <span class="badge" data-agent="policy">
            <span class="muted-inherit">policy </span>
            {agent.policy}
          </span>
        )}
      </div>
      {agent && <AgentNumbers agent={agent} model={model} />}
      <div class={`link ${link.state}`} role="status" data-link={link.state}>
        <span aria-hidden="true">{mark}</span> {text}
      </div>
    </header>
  );
}

function AgentNumbers({ agent, model }: { agent: FeedAgent; model: ConsoleModel }) {
  const { loop, memory } = agent;
  return (
    <dl class="agent">
      <div>
        <dt>Uptime</dt>
        <dd data-agent="uptime">{duration(agent.uptimeS)}</dd>
      </div>
      <div title="Control loop: ticks per second, and how late a tick is at p99">
        <dt>Loop</dt>
        <dd data-agent="loop">
          {count(loop.hz)} Hz <span class="muted">late p99</span> {micros(loop.latenessP99Us)}
        </dd>
      </div>
      <div title="Share of one core that the control loop itself uses">
        <dt>Loop cost</dt>
        <dd data-agent="cost">{percent(loop.costRatio)}</dd>
      </div>
      <div title="Resident memory of the agent, of all sandboxes, and available on the host">
        <dt>Memory</dt>
        <dd data-agent="memory">
          <span class="muted">agent</span> {bytes(memory.agentRssBytes)} <span class="muted">sandboxes</span>{' '}
          {bytes(memory.sandboxesBytes)} <span class="muted">free</span> {bytes(memory.hostAvailableBytes)}
        </dd>
      </div>
      <div title="Sandboxes with a runtime but no code, kept ready">
        <dt>Stems</dt>
        <dd data-agent="stems">{count(agent.stems)}</dd>
      </div>
      <div
        class={model.lostFrames > 0 ? 'bad' : undefined}
        title={`Frames of the feed that this page was too slow for. Readers that ever lost frames: ${agent.slowReaders}`}
      >
        <dt>Lost frames</dt>
        <dd data-agent="lost">{count(model.lostFrames)}</dd>
      </div>
    </dl>
  );
}

interface BannersProps {
  model: ConsoleModel;
  link: LinkStatus;
  nowMs: number;
  onRetry: () => void;
}

/** What the reader must know before believing the rest of the page. */
export function Banners({ model, link, nowMs, onRetry }: BannersProps) {
  const warnings = model.frame?.agent.warnings ?? [];
  return (
    <>
      {/* Always there, so that screen readers notice when it fills. */}
      <div role="alert" class="alerts">
        {(link.state === 'lost' || link.state === 'foreign') && (
          <div class="banner error" data-banner="link">
            <strong>
              {link.state === 'foreign' ? 'This page does not fit the agent' : 'No connection to the agent'}
            </strong>
            <span>
              {link.reason}.{' '}
              {model.frame ? (
                `What you see is at least ${duration((nowMs - link.sinceMs) / 1_000)} old.`
              ) : (
                <>
                  Is it running? <code>nemo up</code> starts it.
                </>
              )}{' '}
              {link.retryAtMs === null
                ? 'Trying now …'
                : `Next try in ${duration(Math.ceil((link.retryAtMs - nowMs) / 1_000))}.`}
            </span>
            {link.state === 'foreign' ? (
              <button type="button" onClick={() => location.reload()}>
                Reload the page
              </button>
            ) : (
              <button type="button" onClick={onRetry} disabled={link.retryAtMs === null}>
                Try now
              </button>
            )}
          </div>
        )}
      </div>
      {model.agentRestarts > 0 && (
        <p class="banner note" data-banner="restart">
          The agent restarted {model.agentRestarts === 1 ? 'once' : `${model.agentRestarts} times`} while this
          page was open; totals count from its last start.
        </p>
      )}
      {warnings.length > 0 && (
        <details class="banner warning" data-banner="warnings" open>
          <summary>{plural(warnings.length, 'warning')} about this host</summary>
          <ul>
            {warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}
