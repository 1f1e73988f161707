/** `nemo engines`: the isolation engines of an agent, and whether each works there. */

import type { Command } from 'commander';
import type { EngineReport } from '../model/platform.js';
import { AgentClient, type AgentOptions, agentOptions, printJson } from './client.js';
import { formatTable } from './table.js';
import { print } from './terminal.js';

export function register(program: Command): void {
  const command = program
    .command('engines')
    .description('list the isolation engines, which of them work here, and why the others do not')
    .addHelpText(
      'after',
      "\nExample:\n  nemo engines\n  nemo engines --json | jq -r '.engines[] | select(.ok) | .kind'\n",
    );
  agentOptions(command).action(list);
}

async function list(options: AgentOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const answer = await client.json<{ engines: EngineReport[] }>({ method: 'GET', path: '/v1/engines' });
  if (options.json) return printJson(answer);
  const rows = answer.engines.map(({ kind, about, ok }) => [kind, ok ? 'ok' : 'missing', about]);
  print(formatTable(['ENGINE', 'HERE', 'ISOLATION'], rows));
  for (const { kind, ok, note, reason, hint } of answer.engines) {
    if (note !== undefined) print(`${kind}: ${note}\n`);
    if (!ok) print(`${kind}: ${reason}\n  way out: ${hint}\n`);
  }
}
