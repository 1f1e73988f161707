/** `nemo rm NAME...`: removes functions. */

import type { Command } from 'commander';
import { AgentClient, type AgentOptions, agentOptions, functionPath, printJson } from './client.js';
import { print } from './terminal.js';

export function register(program: Command): void {
  const command = program
    .command('rm')
    .description('remove functions; calls under way may end')
    .argument('<name...>', 'names of the functions, or namespace/name')
    .addHelpText('after', '\nExample:\n  nemo rm resize thumb\n');
  agentOptions(command).action(remove);
}

/** Stops at the first that cannot be removed, naming it. */
async function remove(names: string[], options: AgentOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  for (const name of names) {
    await client.json({ method: 'DELETE', path: functionPath(name) });
    if (!options.json) print(`removed ${name}\n`);
  }
  if (options.json) printJson({ removed: names });
}
