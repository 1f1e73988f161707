/** `nemo trace NAME`: where the time of a function's last calls went. */

import type { Command } from 'commander';
import type { CallTrace } from '../model/call-trace.js';
import { AgentClient, type AgentOptions, agentOptions, functionPath, printJson } from './client.js';
import { print } from './terminal.js';
import { traceView } from './trace-view.js';

interface TraceOptions extends AgentOptions {
  last: string;
  slowest?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('trace')
    .description(
      "show where the time of a function's last calls went: queued, start, turn, run, reply, CPU, memory, faults",
    )
    .argument('<name>', 'name of the function, or namespace/name')
    .option('-n, --last <calls>', 'how many calls', '20')
    .option('--slowest', 'the slowest of those that are kept, instead of the newest')
    .addHelpText('after', '\nExample:\n  nemo trace resize --slowest -n 5\n');
  agentOptions(command).action(trace);
}

async function trace(name: string, options: TraceOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const query = `last=${encodeURIComponent(options.last)}${options.slowest ? '&slowest=1' : ''}`;
  const answer = await client.json<{ traces: CallTrace[] }>({
    method: 'GET',
    path: `${functionPath(name)}/traces?${query}`,
  });
  if (options.json) return printJson(answer);
  print(answer.traces.length === 0 ? `no calls of "${name}" yet\n` : traceView(answer.traces));
}
