/** `nemo up`: the agent in the foreground. The first line of --json tells scripts where it listens. */

import type { Command } from 'commander';
import { startAgent } from '../agent/agent.js';
import { readConfig, resolveConfig } from '../config/config.js';
import type { UserConfig } from '../config/config-schema.js';
import { POLICY_NAMES } from '../policy/harvest/policies.js';
import { AGENT } from '../tunables/index.js';
import { numberOption, PORT } from './options.js';
import { complain, print } from './terminal.js';

interface UpOptions {
  config?: string;
  policy?: string;
  port?: string;
  json?: boolean;
}

/** The last one comes when the terminal is closed; node listens to it also under nohup, so that ends an agent too. */
const END_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

const EXAMPLE = `
Example:
  sudo nemo up --config /etc/nemo.yaml

  # /etc/nemo.yaml, every key is optional
  policy: nemo
  http: { host: 127.0.0.1, port: 8080, functionsPort: 8081 }
  cores: { housekeeping: [0], functions: [1] }
  pool: { prewarm: histogram, keepAlive: { policy: ttl, keepAlive: 60s }, selection: mru, memory: 2Gi }
  store: { kind: embedded }
  nfs:
    - { profile: firewall, overrides: { sloP99Us: 500 } }
`;

export function register(program: Command): void {
  program
    .command('up')
    .description('run the agent of this box in the foreground')
    .option('--config <file>', 'configuration, YAML')
    .option('--policy <name>', `one of ${POLICY_NAMES.join(', ')}`)
    .option('--port <number>', 'HTTP port on the configured host')
    .option('--json', 'tell readiness and errors as JSON')
    .addHelpText('after', EXAMPLE)
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  const user: UserConfig = options.config === undefined ? {} : readConfig(options.config);
  if (options.policy !== undefined) user.policy = options.policy;
  if (options.port !== undefined)
    user.http = { ...user.http, port: numberOption(options.port, '--port', PORT) };
  const config = resolveConfig(user);
  // From the first moment on: an agent that is asked to end while it starts has things to put back too.
  let ended = false;
  const asked = new Promise<void>((resolve) => {
    const end = (): void => {
      ended = true;
      // A second one, of either kind, ends this process as it stands: the guardian puts NFs back then.
      for (const signal of END_SIGNALS) process.off(signal, end);
      resolve();
    };
    for (const signal of END_SIGNALS) process.on(signal, end);
  });
  // Whoever read along may leave; the agent needs no reader.
  process.stdout.on('error', () => undefined);
  const agent = await startAgent(config).catch((thrown: unknown) => {
    // What breaks while everything is ended by Ctrl-C is no failure.
    if (!ended) throw thrown;
  });
  if (agent === undefined) return;
  for (const warning of agent.warnings) complain(`nemo: ${warning}\n`);
  print(
    options.json
      ? `${JSON.stringify({ ready: agent.url, functions: agent.functionsUrl, pid: process.pid })}\n`
      : `NEMO is up: ${agent.url}${agent.functionsUrl === undefined ? '' : `, functions: ${agent.functionsUrl}`}\n`,
  );
  await asked;
  try {
    await agent.stop();
  } finally {
    // Only if something is left that would hold it.
    setTimeout(() => process.exit(), AGENT.exitGraceMs).unref();
  }
  if (!options.json) print('NEMO has stopped; the NFs have their own scheduling back.\n');
}
