/** `nemo describe NAME`: one function, and what it does right now; `--host`: the machine that it runs on. */

import type { Command } from 'commander';
import type { FunctionView } from '../gateway/native/function-view.js';
import { NemoError } from '../model/errors.js';
import type { FeedFrame } from '../model/feed.js';
import { functionKey } from '../model/function-ref.js';
import { printable } from '../model/printable.js';
import { formatBytes, formatDurationMs } from '../model/quantity.js';
import type { HostInventory } from '../telemetry/inventory.js';
import { CONFLICT } from '../tunables/index.js';
import { AgentClient, type AgentOptions, agentOptions, functionPath, printJson } from './client.js';
import { print } from './terminal.js';

export function register(program: Command): void {
  const command = program
    .command('describe')
    .description('show a function with its limits, calls and sandboxes')
    .argument('[name]', 'name of the function, or namespace/name')
    .option('--host', "show the agent's machine instead")
    .addHelpText('after', '\nExample:\n  nemo describe resize\n  nemo describe --host\n');
  agentOptions(command).action(describe);
}

async function describe(name: string | undefined, options: AgentOptions & { host?: boolean }): Promise<void> {
  const client = new AgentClient(options.agent);
  if (options.host) return describeHost(client, options.json === true);
  if (name === undefined) {
    throw new NemoError('BAD_REQUEST', 'describe needs the name of a function', {
      hint: 'nemo ls shows what is deployed; nemo describe --host shows the machine',
    });
  }
  const spec = await client.json<FunctionView>({ method: 'GET', path: functionPath(name) });
  const frame = await client.json<FeedFrame>({ method: 'GET', path: '/v1/status' });
  const key = functionKey(spec.namespace, spec.name);
  const now = frame.functions.find((fn) => fn.name === key);
  if (options.json) return printJson({ ...spec, now: now ?? null });
  const facts: Array<[string, string]> = [
    ['name', spec.name],
    ['namespace', spec.namespace],
    ['version', String(spec.version)],
    ['engine', spec.engine],
    ['sharing group', spec.sharingGroup ?? 'none'],
    ['memory', formatBytes(spec.memoryBytes)],
    ['timeout', formatDurationMs(spec.timeoutMs)],
    ['concurrency', `${spec.concurrency} in a sandbox`],
    ['schedule', spec.schedule ?? 'none'],
    ['may reach', spec.egress?.join(', ') ?? 'nothing'],
    ['environment', spec.env.length === 0 ? 'none' : `${spec.env.join(', ')} (values are not shown)`],
    ['code', `${formatBytes(spec.codeBytes)}, sha256 ${spec.codeHash.slice(0, 16)}`],
    ...packageFacts(spec),
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
    if (now.blame !== undefined) {
      const { times, penalty, cause } = now.blame;
      const forgiven =
        penalty < CONFLICT.blameLeast ? 'forgiven by now' : `penalty ${penalty.toFixed(2)} now`;
      facts.push(['conflicts', `to blame ${times} times, ${forgiven}; last: ${cause}`]);
    }
    for (const box of sandboxes) {
      const memory = formatBytes(box.memoryBytes);
      facts.push([
        '',
        `${box.id}  ${box.state}  core ${box.core}  pid ${box.pid}  ${memory}  ${box.calls} calls`,
      ]);
    }
  }
  printFacts(facts);
}

function packageFacts({ packages = [] }: FunctionView): Array<[string, string]> {
  return packages.map(({ name, bytes }, i) => [i === 0 ? 'packages' : '', `${name}  ${formatBytes(bytes)}`]);
}

async function describeHost(client: AgentClient, json: boolean): Promise<void> {
  const host = await client.json<HostInventory>({ method: 'GET', path: '/v1/host' });
  if (json) return printJson(host);
  const { system, os, cpu, memory, interfaces } = host;
  const under = system.hypervisor === null ? '' : ` (${system.hypervisor})`;
  const facts: Array<[string, string]> = [
    ['machine', `${system.manufacturer} ${system.model}${system.virtual ? `, virtual${under}` : ''}`],
    ['system', `${os.name}, Linux ${os.kernel} ${os.architecture}`],
    [
      'processor',
      `${cpu.manufacturer} ${cpu.model}, ${cpu.cores} cores${cpu.speedGhz > 0 ? `, ${cpu.speedGhz} GHz` : ''}`,
    ],
    ['memory', `${formatBytes(memory.totalBytes)}, swap ${formatBytes(memory.swapBytes)}`],
  ];
  for (const [i, one] of interfaces.entries()) {
    const speed = one.speedMbps === null ? 'speed not told' : `${one.speedMbps} Mbit/s`;
    const driver = one.driver ?? (one.virtual ? 'virtual' : 'no driver told');
    facts.push([i === 0 ? 'interfaces' : '', `${one.name}  ${driver}  ${speed}  ${one.state}`]);
  }
  printFacts(facts);
}

function printFacts(facts: ReadonlyArray<[string, string]>): void {
  for (const [key, value] of facts) print(`${printable(`${key.padEnd(13)}${value}`).trimEnd()}\n`);
}
