/**
 * `nemo top`: the live view of a running agent, redrawn in place. When the connection breaks it says so under the
 * last picture and comes back by itself; an agent that never answered is an error at once.
 */

import { once } from 'node:events';
import type { Command } from 'commander';
import { WebSocket } from 'ws';
import type { FeedFrame } from '../model/feed.js';
import { printable, printableJson } from '../model/printable.js';
import { AgentClient, type AgentOptions, agentOptions } from './client.js';
import { ENTER_SCREEN, inPlace, LEAVE_SCREEN } from './terminal.js';
import { renderTop, TopHistory } from './top-view.js';

interface TopOptions extends AgentOptions {
  once?: boolean;
}

const RETRY_MS = 1_000;
/** An agent sends ten frames a second; this long without one means that it is gone although its socket is open. */
const SILENCE_MS = 5_000;
const COLUMNS_WITHOUT_TTY = 100;

export function register(program: Command): void {
  const command = program
    .command('top')
    .description('live view of a running agent: cores, packet latency, functions, events')
    .option('--once', 'print one picture and end')
    .addHelpText(
      'after',
      '\nWith --json every frame of the feed is one line; with --once --json there is one.\n' +
        "\nExample:\n  nemo top\n  nemo top --once --json | jq '.cores[].functionRatio'\n",
    );
  agentOptions(command).action(top);
}

async function top(options: TopOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const { stdout } = process;
  const live = !options.once && !options.json && stdout.isTTY === true;
  const history = new TopHistory();
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // `nemo top | head`: a closed pipe is the end, not an error.
  stdout.on('error', onSignal);

  let shown: FeedFrame | undefined;
  const draw = (frame: FeedFrame, note: string): void => {
    const columns = stdout.columns ?? COLUMNS_WITHOUT_TTY;
    const text = renderTop(frame, columns, history, stdout.isTTY === true) + note;
    if (live) stdout.write(inPlace(text, stdout.rows ?? 24));
    else stdout.write(`${text}\n`);
  };
  const onFrame = (frame: FeedFrame): void => {
    shown = frame;
    history.add(frame);
    if (options.json) stdout.write(`${printableJson(JSON.stringify(frame))}\n`);
    else draw(frame, '');
    if (options.once) stop.abort();
  };

  try {
    while (!stop.signal.aborted) {
      const cause = await readFeed(client, onFrame, stop.signal, () => {
        if (live) stdout.write(ENTER_SCREEN);
      });
      if (stop.signal.aborted) break;
      if (shown === undefined || !live) throw client.unreachable(cause);
      draw(shown, `\n\nthe agent does not answer (${printable(cause.message)}); trying again, Ctrl-C ends`);
      await pause(RETRY_MS, stop.signal);
    }
  } finally {
    if (live && shown !== undefined) stdout.write(LEAVE_SCREEN);
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    stdout.off('error', onSignal);
  }
}

/** Resolves with the reason when the connection has ended. */
async function readFeed(
  client: AgentClient,
  onFrame: (frame: FeedFrame) => void,
  signal: AbortSignal,
  onOpen: () => void,
): Promise<Error> {
  const socket = new WebSocket(client.feedUrl, { handshakeTimeout: SILENCE_MS });
  let reason = new Error('the connection was closed');
  const abort = (): void => socket.terminate();
  const silence = setTimeout(() => {
    reason = new Error('no frame for 5 s');
    socket.terminate();
  }, SILENCE_MS);
  signal.addEventListener('abort', abort);
  socket.on('open', onOpen);
  socket.on('error', (error) => {
    reason = error;
  });
  socket.on('message', (data) => {
    silence.refresh();
    if (!signal.aborted) onFrame(JSON.parse(data.toString()) as FeedFrame);
  });
  await once(socket, 'close').catch(() => undefined);
  clearTimeout(silence);
  signal.removeEventListener('abort', abort);
  return reason;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
