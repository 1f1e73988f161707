/** `nemo demo`, what `npm start` runs: the first thing that a new user sees. Live view on a terminal, then a summary. */

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { ensurePackages } from '../host/packages.js';
import { renderDemoSummary } from '../lab/demo/summary.js';
import { checkCapture } from '../lab/traffic/workload.js';
import { NemoError } from '../model/errors.js';
import type { FeedFrame } from '../model/feed.js';
import { POLICY_NAMES, policyByName } from '../policy/harvest/policies.js';
import { GATEWAY } from '../tunables/index.js';
import { RUNTIME_PACKAGES } from './diagnosis/packages.js';
import { checkOutput, numberOption, PORT, writeOutput } from './options.js';
import { Progress } from './progress.js';
import { complain, ENTER_SCREEN, inPlace, LEAVE_SCREEN, print } from './terminal.js';
import { renderTop, TopHistory } from './top-view.js';

interface DemoCliOptions {
  seconds: string;
  policy: string;
  port: string;
  packets: string;
  capture?: string;
  json?: string;
}

export function register(program: Command): void {
  program
    .command('demo')
    .description('a real NF under captured traffic, and functions on the cycles that it leaves')
    .option('--seconds <number>', 'how long functions run; Ctrl-C ends it earlier', '60')
    .option('--policy <name>', `one of ${POLICY_NAMES.join(', ')}`, 'nemo')
    .option('--port <number>', 'HTTP port of the agent and its console on 127.0.0.1', String(GATEWAY.port))
    .option('--packets <number>', 'packets of the capture a second; 0: at the pace of the capture', '30000')
    .option('--capture <file>', "replay a capture of your own (pcap or pcapng) instead of NEMO's")
    .option('--json <file>', 'also write the summary as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  sudo nemo demo --seconds 30 --policy naive   # what NEMO is compared with\n',
    )
    .action(demo);
}

async function demo(options: DemoCliOptions): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new NemoError(
      'NOT_ROOT',
      'the demo needs root: it makes network namespaces and cgroups, and pins an NF to a core',
      { hint: 'run `sudo npm start`; nothing outside its own namespaces is touched' },
    );
  }
  policyByName(options.policy);
  const seconds = numberOption(options.seconds, '--seconds', { least: 0 });
  const port = numberOption(options.port, '--port', PORT);
  const packetsPerS = numberOption(options.packets, '--packets', { least: 0 });
  checkOutput(options.json, '--json');
  if (options.capture !== undefined) checkCapture(options.capture);

  const progress = new Progress(process.stderr);
  await ensurePackages(RUNTIME_PACKAGES, { progress: (line) => progress.say(line) });
  const { runDemo } = await import('../lab/demo/run.js');
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.stdout.on('error', onSignal);
  const view = new LiveView(process.stdout);
  try {
    const summary = await runDemo({
      seconds,
      policy: options.policy,
      port,
      packetsPerS,
      ...(options.capture !== undefined && { capture: resolve(options.capture) }),
      signal: stop.signal,
      say: (line) => progress.say(line),
      onUrl: (url) => {
        progress.end();
        view.open(url);
      },
      onFrame: (frame) => view.show(frame),
    });
    view.close();
    progress.end();
    if (summary === undefined) {
      complain('ended before any function ran: there is nothing to sum up\n');
      process.exitCode = 130;
      return;
    }
    print(`\n${summary.seconds.toFixed(0)} s of policy ${summary.policy}:\n`);
    print(`${renderDemoSummary(summary)}\n`);
    if (options.json !== undefined) {
      writeOutput(options.json, '--json', `${JSON.stringify(summary, null, 1)}\n`);
    }
  } finally {
    view.close();
    progress.end();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    process.stdout.off('error', onSignal);
  }
}

/** On a terminal the whole screen, redrawn in place; elsewhere a picture every few seconds. */
class LiveView {
  private static readonly EVERY_MS = 5_000;
  private readonly history = new TopHistory();
  private url: string | undefined;
  private nextMs = 0;

  constructor(private readonly out: NodeJS.WriteStream) {}

  open(url: string): void {
    this.url = url;
    if (this.out.isTTY) this.out.write(ENTER_SCREEN);
    else this.out.write(`console: ${url}\n`);
  }

  show(frame: FeedFrame): void {
    this.history.add(frame);
    const nowMs = performance.now();
    if (!this.out.isTTY && nowMs < this.nextMs) return;
    this.nextMs = nowMs + LiveView.EVERY_MS;
    const text = renderTop(frame, this.out.columns ?? 100, this.history, this.out.isTTY === true);
    if (!this.out.isTTY) this.out.write(`${text}\n\n`);
    else
      this.out.write(
        inPlace(`${text}\n\nopen ${this.url} to see it in a browser; Ctrl-C ends`, this.out.rows ?? 24),
      );
  }

  close(): void {
    if (this.url !== undefined && this.out.isTTY) this.out.write(LEAVE_SCREEN);
    this.url = undefined;
  }
}
