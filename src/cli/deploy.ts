/** `nemo deploy PATH`: bundles a file or folder into one module here, and gives it to the agent. */

import { readFile, stat } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import type { Command } from 'commander';
import { ENGINE_DEFAULT } from '../engine/builtin.js';
import type { FunctionView } from '../gateway/native/function-view.js';
import { NemoError } from '../model/errors.js';
import { functionKey, splitFunctionText } from '../model/function-ref.js';
import type { DeployInput } from '../model/platform.js';
import { formatBytes, formatDurationMs } from '../model/quantity.js';
import { AgentClient, type AgentOptions, agentOptions, functionPath, printJson } from './client.js';
import { forgetImage, sendImage } from './send-image.js';
import { print } from './terminal.js';

interface DeployOptions extends AgentOptions {
  name?: string;
  namespace?: string;
  engine?: string;
  handler?: string;
  port?: number;
  sharingGroup?: string;
  onAgent?: true;
  exec?: true | string;
  bundle?: true;
  memory?: string;
  timeout?: string;
  concurrency?: number;
  env: Record<string, string>;
  schedule?: string;
  egress: string[];
}

export function register(program: Command): void {
  const command = program
    .command('deploy')
    .description(
      'deploy a function: a JavaScript or TypeScript file, a folder with a package.json, a .wasm module, a program',
    )
    .argument('<path>', 'file or folder; for the engine oci an image: folder, tar or registry name')
    .option('--name <name>', 'name of the function (default: from the path)')
    .option('--namespace <name>', 'what the function belongs to; it is then called as namespace/name')
    .option('--engine <engine>', 'isolation engine, see `nemo engines` (default: process)')
    .option(
      '--handler <path>',
      'engine oci: a module in the image that its node runs (default: an HTTP server)',
    )
    .option(
      '--port <port>',
      'engine oci: where that server listens (default: what the image exposes)',
      wholeNumber,
    )
    .option(
      '--sharing-group <name>',
      'engines isolate and wasm: share a process with the functions of its namespace that name this group (default: with none)',
    )
    .option(
      '--on-agent',
      'engine oci: the path is one of the agent, below a folder of its imageDirs, and is not sent',
    )
    .option('--bundle', 'put packages into the code, also those that could be kept apart from it')
    .option('--exec [stdio|http]', 'a program of any language: one run a call, or a server on $PORT')
    .option('--memory <amount>', 'memory limit of one sandbox, for example 128Mi')
    .option('--timeout <duration>', 'longest time of one call, for example 30s')
    .option('--concurrency <n>', 'calls that one sandbox may serve at the same time', wholeNumber)
    .option(
      '--env <key=value>',
      'environment variable, may be repeated; KEY alone takes it from here',
      addEnv,
      {},
    )
    .option('--schedule <cron>', "call it by the clock, for example '*/5 * * * *'")
    .option(
      '--egress <host:port>',
      'what it may connect to (also 10.0.0.0/8:443), may be repeated; default: nothing',
      (rule: string, rules: string[]) => [...rules, rule],
      [],
    )
    .addHelpText(
      'after',
      '\nExample:\n  nemo deploy ./resize.ts --memory 256Mi --timeout 10s --env LEVEL=debug\n' +
        '  nemo deploy ./resize.ts --engine isolate --sharing-group team-a\n' +
        '  nemo deploy ./resize.wasm\n  nemo deploy ./wordcount.py --exec\n  nemo deploy ./app.tar --engine oci --port 8080\n',
    );
  agentOptions(command).action(deploy);
}

async function deploy(path: string, options: DeployOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const name = options.name ?? (await nameFromPath(path, options.engine));
  const { sent, ...source } = await sourceOf(client, path, splitFunctionText(name).name, options);
  const input: Omit<DeployInput, 'name'> = source;
  if (options.namespace !== undefined) input.namespace = options.namespace;
  if (options.engine !== undefined) input.engine = options.engine;
  if (options.sharingGroup !== undefined) input.sharingGroup = options.sharingGroup;
  if (options.memory !== undefined) input.memory = options.memory;
  if (options.timeout !== undefined) input.timeout = options.timeout;
  if (options.concurrency !== undefined) input.concurrency = options.concurrency;
  if (options.schedule !== undefined) input.schedule = options.schedule;
  if (options.egress.length > 0) input.egress = options.egress;
  if (Object.keys(options.env).length > 0) input.env = options.env;

  const deployed = client.json<FunctionView>({
    method: 'PUT',
    path: functionPath(name),
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(input),
  });
  const answer = await deployed.finally(() => sent !== undefined && forgetImage(client, sent));
  if (options.json) return printJson(answer);
  const verb = answer.createdAt === answer.updatedAt ? 'deployed' : 'updated';
  const { packages = [] } = answer;
  const key = functionKey(answer.namespace, answer.name);
  const apart = packages.length === 0 ? '' : ` beside ${packages.map((one) => one.name).join(', ')}`;
  print(
    `${verb} ${key} (engine ${answer.engine}, ${formatBytes(answer.codeBytes)} of code${apart}, ${formatBytes(answer.memoryBytes)} memory, ` +
      `${formatDurationMs(answer.timeoutMs)} timeout)\n` +
      `call it: nemo invoke ${key}   or   curl ${client.url.origin}/function/${encodeURIComponent(key)}\n`,
  );
}

/** What an engine of no JavaScript runs is sent as it is. */
async function sourceOf(
  client: AgentClient,
  path: string,
  name: string,
  options: DeployOptions,
): Promise<Omit<DeployInput, 'name'> & { sent?: string }> {
  const { exec, engine } = options;
  if (engine === 'oci') {
    const { code, sent } = await imageRequest(client, path, options);
    return { code, filename: name, ...(sent === undefined ? {} : { sent }) };
  }
  const wasm = extname(path) === '.wasm';
  if (exec === undefined && engine !== 'wasm' && !(wasm && engine === undefined)) {
    const filename = `${name}.mjs`;
    if (options.bundle || (engine !== undefined && engine !== ENGINE_DEFAULT)) {
      const { bundleFunction } = await import('../bundle/bundle.js');
      return { code: (await bundleFunction(path)).code, filename };
    }
    const { bundleApart } = await import('../bundle/bundle-apart.js');
    const { code, packages } = await bundleApart(path);
    return { code, filename, ...(packages.length === 0 ? {} : { packages }) };
  }
  const codeBase64 = (await readFile(path)).toString('base64');
  const filename = basename(path);
  if (exec === undefined) return { codeBase64, filename, engine: 'wasm' };
  return { codeBase64, filename, exec: exec === true ? 'stdio' : (exec as 'stdio') };
}

/** A path that is there is sent, unless the agent shall open it itself; all else is a registry's. */
async function imageRequest(
  client: AgentClient,
  path: string,
  { handler, port, onAgent }: DeployOptions,
): Promise<{ code: string; sent?: string }> {
  const { image, sent } = onAgent ? { image: resolve(path) } : await sendImage(client, path);
  return { code: JSON.stringify({ image, handler, port }), ...(sent === undefined ? {} : { sent }) };
}

/** A folder's name is its package's, without a scope; a file's is the file's, without its ending. */
async function nameFromPath(path: string, engine?: string): Promise<string> {
  const absolute = resolve(path);
  const found = await stat(absolute.replace(/#[^#/]*$/, '')).catch(() => undefined);
  if (found === undefined && engine === 'oci')
    return basename(path)
      .replace(/[:@#].*$/, '')
      .toLowerCase();
  if (found === undefined) {
    throw new NemoError('NOT_FOUND', `there is no file or folder ${absolute}`, { hint: 'check the path' });
  }
  let name = basename(absolute, extname(absolute));
  if (found.isDirectory()) {
    const text = await readFile(resolve(absolute, 'package.json'), 'utf8').catch(() => '{}');
    const declared = parsedName(text);
    name = declared ?? basename(absolute);
  }
  return name.replace(/^@[^/]+\//, '').toLowerCase();
}

function parsedName(packageJson: string): string | undefined {
  try {
    const { name } = JSON.parse(packageJson) as { name?: unknown };
    return typeof name === 'string' && name !== '' ? name : undefined;
  } catch {
    // The bundler says what is wrong with it.
    return undefined;
  }
}

function wholeNumber(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new NemoError('BAD_REQUEST', `'${text}' is not a whole number`, {
    hint: 'give a whole number, 1 or more',
  });
}

function addEnv(assignment: string, env: Record<string, string>): Record<string, string> {
  const equals = assignment.indexOf('=');
  const key = equals === -1 ? assignment : assignment.slice(0, equals);
  const value = equals === -1 ? process.env[key] : assignment.slice(equals + 1);
  if (value === undefined) {
    throw new NemoError('BAD_REQUEST', `--env ${key}: there is no such variable here`, {
      hint: `write --env ${key}=value, or export ${key} first`,
    });
  }
  return { ...env, [key]: value };
}
