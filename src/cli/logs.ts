/** `nemo logs NAME`: what a function printed. With -f it stays until Ctrl-C, or until the function is removed. */

import { StringDecoder } from 'node:string_decoder';
import type { Command } from 'commander';
import type { LogLine } from '../model/function.js';
import { printable, printableJson } from '../model/printable.js';
import { AgentClient, type AgentOptions, agentOptions, errorOf, functionPath, readAll } from './client.js';

interface LogsOptions extends AgentOptions {
  follow?: boolean;
  tail: string;
}

export function register(program: Command): void {
  const command = program
    .command('logs')
    .description('print what a function wrote to stdout and stderr')
    .argument('<name>', 'name of the function, or namespace/name')
    .option('-f, --follow', 'stay, and print what comes')
    .option('--tail <lines>', 'lines to begin with', '100')
    .addHelpText('after', '\nExample:\n  nemo logs resize -f --tail 20\n');
  agentOptions(command).action(logs);
}

async function logs(name: string, options: LogsOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const query = `tail=${encodeURIComponent(options.tail)}${options.follow ? '&follow=1' : ''}`;
  const answer = await client.open({ method: 'GET', path: `${functionPath(name)}/logs?${query}` });
  if (answer.statusCode !== 200) throw errorOf(answer, (await readAll(answer)).toString());
  try {
    for await (const text of linesOf(answer)) {
      process.stdout.write(`${options.json ? printableJson(text) : readable(JSON.parse(text) as LogLine)}\n`);
    }
  } catch (cause) {
    throw client.unreachable(cause);
  }
}

/** Unlike node:readline this rejects when the connection breaks. */
async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
}

function readable(line: LogLine): string {
  const time = new Date(line.timeMs).toISOString().slice(11, 23);
  return printable(`${time} ${line.sandboxId || '-'} ${line.stream === 'stderr' ? '! ' : ''}${line.text}`);
}
