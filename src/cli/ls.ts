/** `nemo ls`: the functions of an agent. */

import type { Command } from 'commander';
import type { FunctionView } from '../gateway/native/function-view.js';
import { functionKey } from '../model/function-ref.js';
import { formatBytes, formatDurationMs } from '../model/quantity.js';
import { AgentClient, type AgentOptions, agentOptions, printJson } from './client.js';
import { formatTable } from './table.js';
import { print } from './terminal.js';

export function register(program: Command): void {
  const command = program
    .command('ls')
    .description('list the deployed functions')
    .addHelpText('after', "\nExample:\n  nemo ls --json | jq -r '.functions[].name'\n");
  agentOptions(command).action(list);
}

async function list(options: AgentOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const answer = await client.json<{ functions: FunctionView[] }>({ method: 'GET', path: '/v1/functions' });
  if (options.json) return printJson(answer);
  if (answer.functions.length === 0) {
    print("no functions yet: 'nemo deploy PATH' makes one\n");
    return;
  }
  const rows = answer.functions.map((spec) => [
    functionKey(spec.namespace, spec.name),
    spec.engine,
    formatBytes(spec.memoryBytes),
    formatDurationMs(spec.timeoutMs),
    String(spec.concurrency),
    formatBytes(spec.codeBytes),
    spec.schedule ?? '-',
    spec.updatedAt.slice(0, 19).replace('T', ' '),
  ]);
  const headings = [
    'NAME',
    'ENGINE',
    'MEMORY',
    'TIMEOUT',
    'CONCURRENCY',
    'CODE',
    'SCHEDULE',
    'UPDATED (UTC)',
  ];
  print(formatTable(headings, rows));
}
