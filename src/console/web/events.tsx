/**
 * What happened, newest first. Pausing freezes the list under the reader's eyes while the page goes on collecting;
 * what has come meanwhile is counted on the button.
 */

import { useRef, useState } from 'preact/hooks';
import type { FeedEvent } from '../../model/feed.js';
import { type LeastSeverity, newestMatching } from './event-filter.js';
import { clockTime, micros } from './format.js';
import type { ConsoleModel } from './model.js';
import { Empty, Section } from './parts.js';

const SHOWN = 200;
const MARK: Record<FeedEvent['severity'], string> = { info: 'i', warning: '!', error: '✕' };

export function EventSection({ model }: { model: ConsoleModel }) {
  const [least, setLeast] = useState<LeastSeverity>('info');
  const [text, setText] = useState('');
  const frozen = useRef<{ events: FeedEvent[]; seen: number } | null>(null);
  const [paused, setPaused] = useState(false);
  const toggle = () => {
    frozen.current = paused ? null : { events: [...model.events], seen: model.eventsSeen };
    setPaused(!paused);
  };
  const source = frozen.current?.events ?? model.events;
  const fresh = frozen.current ? model.eventsSeen - frozen.current.seen : 0;
  const shown = newestMatching(source, least, text, SHOWN);

  return (
    <Section
      id="events"
      title="Events"
      aside={
        <div class="tools">
          <label>
            <span class="sr">Least severity</span>
            <select value={least} onChange={(event) => setLeast(event.currentTarget.value as LeastSeverity)}>
              <option value="info">All</option>
              <option value="warning">Warnings and errors</option>
              <option value="error">Errors</option>
            </select>
          </label>
          <label>
            <span class="sr">Filter events by text</span>
            <input
              type="search"
              placeholder="Filter: throttle, core 1, hello …"
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </label>
          <button type="button" aria-pressed={paused} onClick={toggle}>
            {paused ? `Resume${fresh > 0 ? ` (${fresh} new)` : ''}` : 'Pause'}
          </button>
        </div>
      }
    >
      {shown.length === 0 ? (
        <Empty>
          {source.length === 0
            ? 'No event yet. Events tell of NFs found, conflicts, throttling and sandboxes.'
            : 'No event matches the filter.'}
        </Empty>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard has to get there
        <ol class="card events-list" tabIndex={0} aria-label="Events, newest first">
          {shown.map((event) => (
            <EventRow key={`${event.seq}@${event.timeMs}`} event={event} />
          ))}
        </ol>
      )}
    </Section>
  );
}

function EventRow({ event }: { event: FeedEvent }) {
  // What the message says already is not said again.
  const told = (text: string): boolean => event.message.includes(text);
  const facts = [
    event.core !== undefined && !told(`core ${event.core}`) && `core ${event.core}`,
    event.fromLevel !== undefined &&
      event.toLevel !== undefined &&
      !told('->') &&
      `level ${event.fromLevel} → ${event.toLevel}`,
    event.reactionUs !== undefined && `reacted in ${micros(event.reactionUs)}`,
    event.cause && !told(event.cause) && `cause: ${event.cause}`,
  ].filter(Boolean);
  return (
    <li class={`event ${event.severity}`} data-event={event.seq}>
      <span class="mark" aria-hidden="true">
        {MARK[event.severity]}
      </span>
      <time dateTime={new Date(event.timeMs).toISOString()}>{clockTime(event.timeMs)}</time>
      <span class="kind">
        <span class="sr">{event.severity}: </span>
        {event.kind}
      </span>
      <span class="message">
        {event.message}
        {facts.length > 0 && <span class="muted"> {facts.join(' · ')}</span>}
      </span>
    </li>
  );
}
