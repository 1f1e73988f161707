/**
 * What the user may write (`UserConfig`, the YAML of `nemo up --config`) and what the parts receive
 * (`AgentConfig`), with one place between them: `resolveConfig`.
 */

import { join } from 'node:path';
import { compileSchema, parseCheckedYaml } from './checked-yaml.js';
import { CONFIG_SCHEMA } from './config-schema.js';
import { NemoError } from './errors.js';
import { type BoxPolicy, policyByName } from './harvest/policies.js';
import { parseBytes, parseDurationMs } from './invoke/quantity.js';
import { type AllowedCores, allowedCores, coresAlone, requireCore } from './linux/allowed-cores.js';
import type { ResctrlLimits } from './linux/resctrl.js';
import { readTrusted } from './linux/trusted-file.js';
import { userId } from './linux/users.js';
import { maskUrl } from './mask-url.js';
import { parseEgressRule } from './network/egress-rules.js';
import type { ExplicitNf } from './nf/match.js';
import type { MicrovmConfig } from './sandbox/engines/microvm/engine.js';
import type { RegistryAccess } from './sandbox/engines/oci/image/registry-rules.js';
import { createPolicies, type PoolPolicies } from './sandbox/policies.js';
import type { PolicyChoice } from './sandbox/policy-entry.js';
import { resolveStores } from './sandbox/snapshots/configured-stores.js';
import type { StoreConfig } from './store/open-store.js';
import type { OtlpOptions } from './telemetry/traces/otlp.js';
import type { QueueConfig } from './triggers/redis-stream.js';
import { DISCOVERY, GATEWAY, STORAGE, TRACE } from './tunables.js';

export interface UserConfig {
  /** Name of this agent's cgroup root and lock: two agents of one name cannot run. Default `nemo`. */
  name?: string;
  /** Functions and their code. Default /var/lib/nemo. */
  stateDir?: string;
  /** What lives as long as the agent. Default /run/nemo. */
  runDir?: string;
  policy?: string;
  /**
   * `allowedHosts`: further names of this box, without ports. `allowedOrigins`: pages that may use API and functions,
   * `https://shop.example`. `functionsPort`, `functionsHost`: an origin of their own for functions, by a port or by a
   * name to which nothing else answers. `keepAliveTimeout`: of a connection on which nothing is asked, `75s`; longer
   * than a balancer in front keeps it.
   */
  http?: Partial<Omit<HttpConfig, 'keepAliveTimeoutMs'>> & { keepAliveTimeout?: string };
  cores?: {
    functions?: number[];
    housekeeping?: number[];
    /** Functions may run on the SMT siblings of NF cores. Default false. */
    allowSmtSiblings?: boolean;
  };
  /**
   * `allow`: what functions may reach although it is barred (this box's own addresses, link-local, metadata services), as
   * `address:port` or `network/bits:port`, if their own allow-list has the address too. Default: nothing.
   */
  egress?: { allow?: string[] };
  /** Shares of the last-level cache and of memory bandwidth for all functions together, 0 to 1, where the host has resctrl. */
  resctrl?: ResctrlLimits;
  store?: { kind: 'embedded' } | { kind: 'redis'; url: string };
  /**
   * `prewarm`, `keepAlive`, `selection`: a policy's name, or a map with `policy` and its options; `keepAlive: 60s` is
   * `{ policy: ttl, keepAlive: 60s }`. `stems` and `warmPerFunction` are defaults for policies that have them.
   * `memory`: most that the limits of all sandboxes may come to, `2Gi`; default what is free at the start, less a reserve.
   * `overcommit`: 1.5 lets the limits come to half as much again, though not what is used. Default 1.
   */
  pool?: {
    stems?: number;
    warmPerFunction?: number;
    prewarm?: PolicyChoice;
    keepAlive?: PolicyChoice;
    selection?: PolicyChoice;
    memory?: string;
    overcommit?: number;
  };
  /**
   * Virtual machines: `accelerator` is `auto`, `kvm` or `tcg`; `kernel` replaces Debian's; `snapshots` has most that
   * snapshots of functions may take in memory (`512Mi`) and on disk (`4Gi`), or the `stores` to spread them over: `path`
   * is a directory, `state` (in the state directory) or `memory`.
   */
  microvm?: {
    accelerator?: MicrovmConfig['accelerator'];
    kernel?: string;
    snapshots?: { memory?: string; disk?: string; stores?: Array<{ path: string; budget: string }> };
  };
  /** Most that bundles and images may take in the state directory. Default 16Gi. */
  storage?: { max?: string };
  /** Folders whose images callers may name by their path. Default none: `nemo deploy` sends files. */
  imageDirs?: string[];
  /**
   * Registries: `logins` names a docker config.json; `hosts` are those of which more is known: plain HTTP (`insecure`), an
   * address of a private network or of this box (`private`), other hosts that it may send to for tokens and blobs (`follow`).
   */
  registries?: {
    logins?: string;
    hosts?: Array<{ host: string; insecure?: boolean; private?: boolean; follow?: string[] }>;
  };
  /** Folders with profiles of one's own, beside the built-in ones. */
  profileDirs?: string[];
  /** NFs that profiles alone do not find, or that want another SLO. */
  nfs?: ExplicitNf[];
  /** Users, by name or number, whose processes may be found as NFs, beside root's. Default: none. */
  nfUsers?: Array<string | number>;
  /** Find NFs by profile. Default true; false leaves only what `nfs` names. */
  discovery?: boolean;
  /** Sends the time line of calls to an OpenTelemetry collector, by OTLP over HTTP. `sampleRatio` default 0.01. */
  telemetry?: { otlp?: { url: string; sampleRatio?: number; headers?: Record<string, string> } };
  /** Redis streams whose entries call functions. */
  queues?: QueueConfig[];
  logLevel?: 'silent' | 'error' | 'warn' | 'info' | 'debug';
}

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
  if (user.store?.kind === 'redis') checkRedisUrl(user.store.url, 'store.url');
  for (const [i, { url }] of (user.queues ?? []).entries()) checkRedisUrl(url, `queues.${i}.url`);
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
    store:
      user.store?.kind === 'redis' ? user.store : { kind: 'embedded', directory: join(stateDir, 'store') },
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

/** Here, because a program that cannot read it would quote it. */
function checkRedisUrl(url: string, key: string): void {
  if (URL.canParse(url)) return;
  throw new NemoError('BAD_CONFIG', `${key}: ${maskUrl(url)} is not an address of a Redis server`, {
    hint: 'write redis://:password@host:port, with %XX for what is no letter or digit in the password',
  });
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
