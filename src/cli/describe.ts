/** `nemo describe NAME`: one function, and what it does right now. */

import type { Command } from 'commander';
import type { FunctionView } from '../gateway/native/function-view.js';
import { formatBytes, formatDurationMs } from '../invoke/quantity.js';
import type { FeedFrame } from '../telemetry/feed.js';
import { AgentClient, type AgentOptions, agentOptions, functionPath, printJson } from './client.js';

export function register(program: Command): void {
  const command = program
    .command('describe')
    .description('show a function with its limits, calls and sandboxes')
    .argument('<name>', 'name of the function')
    .addHelpText('after', '\nExample:\n  nemo describe resize\n');
  agentOptions(command).action(describe);
}

async function describe(name: string, options: AgentOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const spec = await client.json<FunctionView>({ method: 'GET', path: functionPath(name) });
  const frame = await client.json<FeedFrame>({ method: 'GET', path: '/v1/status' });
  const now = frame.functions.find((fn) => fn.name === name);
  if (options.json) return printJson({ ...spec, now: now ?? null });
  const facts: Array<[string, string]> = [
    ['name', spec.name],
    ['memory', formatBytes(spec.memoryBytes)],
    ['timeout', formatDurationMs(spec.timeoutMs)],
    ['concurrency', `${spec.concurrency} in a sandbox`],
    ['schedule', spec.schedule ?? 'none'],
    ['environment', spec.env.length === 0 ? 'none' : `${spec.env.join(', ')} (values are not shown)`],
    ['code', `${formatBytes(spec.codeBytes)}, sha256 ${spec.codeHash.slice(0, 16)}`],
    ['created', spec.createdAt],
    ['updated', spec.updatedAt],
  ];
  if (now !== undefined) {
    const { starts, sandboxes } = now;
    facts.push(
      [
        'calls',
        `${now.completed} answered, ${now.failed} failed, ${now.inFlight} running, ${now.queued} waiting`,
      ],
      ['latency', now.p50Ms === null ? 'no calls lately' : `p50 ${now.p50Ms} ms, p99 ${now.p99Ms} ms`],
      ['starts', `${starts.cold} cold, ${starts.stem} stem, ${starts.warm} warm`],
      ['sandboxes', sandboxes.length === 0 ? 'none' : ''],
    );
    for (const box of sandboxes) {
      const memory = formatBytes(box.memoryBytes);
      facts.push([
        '',
        `${box.id}  ${box.state}  core ${box.core}  pid ${box.pid}  ${memory}  ${box.calls} calls`,
      ]);
    }
  }
  process.stdout.write(
    facts
      .map(([key, value]) => `${key.padEnd(13)}${value}`.trimEnd())
      .join('\n')
      .concat('\n'),
  );
}
