/**
 * What the user may write (`UserConfig`, the YAML of `nemo up --config`) and what the parts receive
 * (`AgentConfig`), with one place between them: `resolveConfig`.
 */

import { join } from 'node:path';
import type { MicrovmConfig } from '../engine/microvm/engine.js';
import type { RegistryAccess } from '../images/registry-rules.js';
import { type AllowedCores, allowedCores, coresAlone, requireCore } from '../linux/allowed-cores.js';
import type { ResctrlLimits } from '../linux/resctrl.js';
import { readTrusted } from '../linux/trusted-file.js';
import { userId } from '../linux/users.js';
import { compileSchema, parseCheckedYaml } from '../model/checked-yaml.js';
import { asNemoError, NemoError } from '../model/errors.js';
import { parseFunctionText } from '../model/function-ref.js';
import { maskUrl } from '../model/mask-url.js';
import type { ExplicitNf } from '../model/nf-profile-schema.js';
import { parseBytes, parseDurationMs } from '../model/quantity.js';
import { parseEgressRule } from '../network/egress-rules.js';
import { type BoxPolicy, policyByName } from '../policy/harvest/policies.js';
import { createPolicies, type PoolPolicies } from '../policy/policies.js';
import { resolveStores } from '../snapshots/configured-stores.js';
import type { StoreConfig } from '../store/open-store.js';
import type { OtlpOptions } from '../telemetry/traces/otlp.js';
import type { QueueConfig } from '../triggers/redis-stream.js';
import { DISCOVERY, GATEWAY, STORAGE, TRACE } from '../tunables/index.js';
import { CONFIG_SCHEMA, type UserConfig } from './config-schema.js';

export interface HttpConfig {
  host: string;
  port: number;
  allowedHosts: string[];
  allowedOrigins: string[];
  functionsPort?: number;
  functionsHost?: string;
  /** At once, to each port. */
  maxConnections: number;
  /** At once, from one address, to all ports. */
  maxConnectionsPerAddress: number;
  /** A connection on which nothing is asked for so long is closed. */
  keepAliveTimeoutMs: number;
}

export interface AgentConfig {
  name: string;
  stateDir: string;
  runDir: string;
  policy: BoxPolicy;
  http: HttpConfig;
  functionCores: number[];
  housekeepingCores: number[];
  allowSmtSiblings: boolean;
  egressAllow: string[];
  resctrl: ResctrlLimits | undefined;
  store: StoreConfig;
  pool: PoolPolicies & { memoryMaxBytes: number | undefined; overcommit: number };
  microvm: MicrovmConfig;
  storageMaxBytes: number;
  images: { imageDirs: string[]; registries: RegistryAccess };
  profileDirs: string[];
  nfs: ExplicitNf[];
  nfUsers: number[];
  discovery: boolean;
  discoveryPeriodMs: number;
  otlp: OtlpOptions | undefined;
  queues: QueueConfig[];
  logLevel: NonNullable<UserConfig['logLevel']>;
}

/** Fills in defaults and checks what a schema cannot: NO_SUCH_CORE, BAD_CONFIG. */
export function resolveConfig(
  user: UserConfig,
  allowed: AllowedCores | readonly number[] = allowedCores(user.name ?? 'nemo'),
): AgentConfig {
  const { functions, housekeeping } = resolveCores(
    user.cores ?? {},
    'limits' in allowed ? allowed : coresAlone(allowed),
  );
  for (const [i, queue] of (user.queues ?? []).entries()) {
    checkRedisUrl(queue.url, `queues.${i}.url`);
    checkFunctionText(queue.function, `queues.${i}.function`);
  }
  checkFunctionsPort(user.http ?? {});
  const stateDir = user.stateDir ?? '/var/lib/nemo';
  return {
    name: user.name ?? 'nemo',
    stateDir,
    runDir: user.runDir ?? '/run/nemo',
    policy: policyByName(user.policy ?? 'nemo'),
    http: resolveHttp(user.http ?? {}),
    functionCores: functions,
    housekeepingCores: housekeeping,
    allowSmtSiblings: user.cores?.allowSmtSiblings ?? false,
    egressAllow: resolveEgress(user.egress?.allow ?? []),
    resctrl: user.resctrl,
    store: resolveStore(user.store, stateDir),
    pool: resolvePool(user.pool ?? {}),
    microvm: resolveMicrovm(user.microvm ?? {}),
    storageMaxBytes:
      user.storage?.max === undefined ? STORAGE.maxBytes : parseBytes(user.storage.max, 'storage.max'),
    images: { imageDirs: user.imageDirs ?? [], registries: resolveRegistries(user.registries ?? {}) },
    profileDirs: user.profileDirs ?? [],
    nfs: user.nfs ?? [],
    nfUsers: (user.nfUsers ?? []).map(resolveUser),
    discovery: user.discovery ?? true,
    discoveryPeriodMs: DISCOVERY.periodMs,
    otlp: user.telemetry?.otlp && { sampleRatio: TRACE.otlpSampleRatio, ...user.telemetry.otlp },
    queues: user.queues ?? [],
    logLevel: user.logLevel ?? 'warn',
  };
}

/** A browser leaves out the ports 80 and 443: a function's page there would say the same of itself as the agent's own. */
function checkFunctionsPort({ functionsPort, functionsHost, allowedHosts = [] }: Partial<HttpConfig>): void {
  if (functionsPort !== 80 && functionsPort !== 443) return;
  const name = allowedHosts.find((one) => one !== functionsHost);
  if (name === undefined) return;
  const message = `http.functionsPort: pages of functions on port ${functionsPort} of ${name} could not be told from the console`;
  throw new NemoError('BAD_CONFIG', message, {
    hint: 'take another port for functions, or a name of their own: http.functionsHost',
  });
}

function resolveHttp({ keepAliveTimeout, ...given }: NonNullable<UserConfig['http']>): HttpConfig {
  return {
    ...{ host: GATEWAY.host, port: GATEWAY.port, allowedHosts: [], allowedOrigins: [] },
    maxConnections: GATEWAY.connectionsMax,
    maxConnectionsPerAddress: GATEWAY.connectionsPerAddressMax,
    keepAliveTimeoutMs:
      keepAliveTimeout === undefined
        ? GATEWAY.keepAliveTimeoutMs
        : parseDurationMs(keepAliveTimeout, 'http.keepAliveTimeout'),
    ...given,
  };
}

/** The lowest core serves the agent, all others may be harvested; a single core does both. */
function resolveCores(
  chosen: NonNullable<UserConfig['cores']>,
  allowed: AllowedCores,
): { functions: number[]; housekeeping: number[] } {
  for (const key of ['functions', 'housekeeping'] as const) {
    for (const core of chosen[key] ?? []) requireCore(core, allowed, `cores.${key}: `);
  }
  const { byDefault } = allowed;
  // None at all: whatever keeps them is told of the first one.
  if (byDefault.length === 0) requireCore(0, allowed);
  const housekeeping = chosen.housekeeping ?? [
    byDefault.find((core) => !chosen.functions?.includes(core)) ?? byDefault[0]!,
  ];
  const others = byDefault.filter((core) => !housekeeping.includes(core));
  return { housekeeping, functions: chosen.functions ?? (others.length > 0 ? others : [...byDefault]) };
}

function resolveUser(user: string | number): number {
  const id = userId(user);
  if (id !== undefined) return id;
  throw new NemoError('BAD_CONFIG', `nfUsers: there is no user called ${user} in /etc/passwd`, {
    hint: `give the number that \`id -u ${user}\` prints`,
  });
}

function resolveStore(store: UserConfig['store'], stateDir: string): StoreConfig {
  if (store?.kind !== 'redis') return { kind: 'embedded', directory: join(stateDir, 'store') };
  const { url = '' } = store;
  checkRedisUrl(url, 'store.url');
  return { kind: 'redis', url };
}

/** Here, because a program that cannot read it would quote it. */
function checkRedisUrl(url: string, key: string): void {
  if (URL.canParse(url)) return;
  throw new NemoError('BAD_CONFIG', `${key}: ${maskUrl(url)} is not an address of a Redis server`, {
    hint: 'write redis://:password@host:port, with %XX for what is neither a letter nor a digit in the password',
  });
}

function checkFunctionText(text: string, key: string): void {
  try {
    parseFunctionText(text);
  } catch (thrown) {
    const { hint } = asNemoError(thrown);
    throw new NemoError('BAD_CONFIG', `${key}: '${text.slice(0, 80)}' does not name a function`, {
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

function resolveEgress(allow: string[]): string[] {
  const wrong = allow.find((rule) => {
    try {
      return parseEgressRule(rule).kind === 'name';
    } catch {
      return true;
    }
  });
  if (wrong === undefined) return allow;
  throw new NemoError('BAD_CONFIG', `egress.allow: '${wrong}' is not an address with a port`, {
    hint: 'write address:port or network/bits:port; not a name, which its owner may point anywhere',
  });
}

function resolvePool(pool: NonNullable<UserConfig['pool']>): AgentConfig['pool'] {
  const { stems, warmPerFunction, prewarm, keepAlive, selection, memory, overcommit = 1 } = pool;
  const duration = typeof keepAlive === 'string' && /^\d/.test(keepAlive);
  return {
    ...createPolicies(
      {
        ...(prewarm === undefined ? {} : { prewarm }),
        ...(keepAlive === undefined
          ? {}
          : { keepAlive: duration ? { policy: 'ttl', keepAlive } : keepAlive }),
        ...(selection === undefined ? {} : { selection }),
      },
      {
        ...(stems === undefined ? {} : { stems }),
        ...(warmPerFunction === undefined ? {} : { warmPerFunction }),
      },
    ),
    memoryMaxBytes: memory === undefined ? undefined : parseBytes(memory, 'pool.memory'),
    overcommit,
  };
}

function resolveMicrovm({
  accelerator,
  kernel,
  snapshots,
}: NonNullable<UserConfig['microvm']>): MicrovmConfig {
  return { accelerator: accelerator ?? 'auto', kernel, stores: resolveStores(snapshots ?? {}) };
}

function resolveRegistries({ logins, hosts = [] }: NonNullable<UserConfig['registries']>): RegistryAccess {
  const rules = hosts.map(({ host, insecure = false, private: near = false, follow = [] }) => ({
    ...{ host, insecure, private: near, follow },
  }));
  return { logins, hosts: rules };
}

/**
 * Reads `nemo.yaml`. NOT_FOUND without the file; BAD_CONFIG with file, line and key, and for a file that others than root,
 * or the user of this process, can change.
 */
export function readConfig(file: string): UserConfig {
  let text: string;
  try {
    text = readTrusted({ path: file, what: 'the configuration', code: 'BAD_CONFIG' });
  } catch (cause) {
    if (cause instanceof NemoError) throw cause;
    throw new NemoError(
      'NOT_FOUND',
      `the configuration ${file} cannot be read: ${(cause as Error).message}`,
      {
        hint: 'give an existing file with --config, or leave it out for the defaults',
        cause,
      },
    );
  }
  return parseCheckedYaml<UserConfig>(text, file, {
    code: 'BAD_CONFIG',
    what: 'the configuration',
    hint: 'nemo up --help shows an example',
    validate: compileSchema<UserConfig>(CONFIG_SCHEMA),
    empty: {},
  }).value;
}
