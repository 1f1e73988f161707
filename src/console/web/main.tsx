/** Joins feed, model and page. All state of the page hangs on the three constants below; nothing is stored. */

import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import { App } from './app.js';
import { Connection, type LinkStatus } from './connection.js';
import { ConsoleModel } from './model.js';
import { charts, Pace, TEXT_INTERVAL_MS } from './pace.js';
import { refreshPalette } from './palette.js';
import { openFeed } from './socket.js';
import './styles.css';
import './header.css';
import './sections.css';
import './lists.css';

const model = new ConsoleModel();
let link: LinkStatus;
const root = document.getElementById('root')!;

const text = new Pace(TEXT_INTERVAL_MS, () => {
  render(
    <App model={model} link={link} nowMs={performance.now()} onRetry={() => connection.retryNow()} />,
    root,
  );
  const mark = link.state === 'live' ? '' : '✕ ';
  const host = model.frame?.agent.hostname;
  document.title = `${mark}${host ? `${host} – ` : ''}NEMO console`;
});

const connection = new Connection(
  {
    open: openFeed,
    nowMs: () => performance.now(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    random: Math.random,
  },
  {
    onFrame: (frame, first) => {
      model.apply(frame, first);
      charts.request();
      text.request();
    },
    onStatus: (status) => {
      link = status;
      text.request();
    },
  },
);

refreshPalette();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  refreshPalette();
  charts.request();
});
// The network is back, or the reader is: do not wait for the pause to end.
window.addEventListener('online', () => connection.retryNow());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) connection.retryNow();
});
// While there is no feed nothing else would move the countdown.
setInterval(() => {
  if (link.state !== 'live') text.request();
}, 1_000);
connection.start();
