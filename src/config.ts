/**
 * What the user may write (`UserConfig`, the YAML of `nemo up --config`) and what the parts receive
 * (`AgentConfig`), with one place between them: `resolveConfig`.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileSchema, parseCheckedYaml } from './checked-yaml.js';
import { CONFIG_SCHEMA } from './config-schema.js';
import { NemoError } from './errors.js';
import { type BoxPolicy, policyByName } from './harvest/policies.js';
import { parseBytes } from './invoke/quantity.js';
import { onlineCores } from './linux/online-cores.js';
import type { ResctrlLimits } from './linux/resctrl.js';
import type { ExplicitNf } from './nf/match.js';
import type { MicrovmConfig } from './sandbox/engines/microvm/engine.js';
import { createPolicies, type PoolPolicies } from './sandbox/policies.js';
import type { PolicyChoice } from './sandbox/policy-entry.js';
import type { StoreConfig } from './store/open-store.js';
import type { OtlpOptions } from './telemetry/traces/otlp.js';
import type { QueueConfig } from './triggers/redis-stream.js';
import { DISCOVERY, GATEWAY, SNAPSHOT, TRACE } from './tunables.js';

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
   * name to which nothing else answers.
   */
  http?: Partial<HttpConfig>;
  cores?: {
    functions?: number[];
    housekeeping?: number[];
    /** Functions may run on the SMT siblings of NF cores. Default false. */
    allowSmtSiblings?: boolean;
  };
  /** Shares of the last-level cache and of memory bandwidth for all functions together, 0 to 1, where the host has resctrl. */
  resctrl?: ResctrlLimits;
  store?: { kind: 'embedded' } | { kind: 'redis'; url: string };
  /**
   * `prewarm`, `keepAlive`, `selection`: a policy's name, or a map with `policy` and its options; `keepAlive: 60s` is
   * `{ policy: ttl, keepAlive: 60s }`. `stems` and `warmPerFunction` are defaults for policies that have them.
   * `memory`: most that the limits of all sandboxes may come to, `2Gi`.
   */
  pool?: {
    stems?: number;
    warmPerFunction?: number;
    prewarm?: PolicyChoice;
    keepAlive?: PolicyChoice;
    selection?: PolicyChoice;
    memory?: string;
  };
  /**
   * Virtual machines: `accelerator` is `auto`, `kvm` or `tcg`; `kernel` replaces Debian's; `snapshots` has most that
   * snapshots of functions may take in memory (`512Mi`) and on disk (`4Gi`).
   */
  microvm?: {
    accelerator?: MicrovmConfig['accelerator'];
    kernel?: string;
    snapshots?: { memory?: string; disk?: string };
  };
  /** Folders with profiles of one's own, beside the built-in ones. */
  profileDirs?: string[];
  /** NFs that profiles alone do not find, or that want another SLO. */
  nfs?: ExplicitNf[];
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
  resctrl: ResctrlLimits | undefined;
  store: StoreConfig;
  pool: PoolPolicies & { memoryMaxBytes: number | undefined };
  microvm: MicrovmConfig;
  profileDirs: string[];
  nfs: ExplicitNf[];
  discovery: boolean;
  discoveryPeriodMs: number;
  otlp: OtlpOptions | undefined;
  queues: QueueConfig[];
  logLevel: NonNullable<UserConfig['logLevel']>;
}

/** Fills in defaults and checks what a schema cannot: NO_SUCH_CORE, BAD_CONFIG. */
export function resolveConfig(user: UserConfig, online: readonly number[] = onlineCores()): AgentConfig {
  for (const core of [...(user.cores?.functions ?? []), ...(user.cores?.housekeeping ?? [])]) {
    if (!online.includes(core)) {
      throw new NemoError('NO_SUCH_CORE', `core ${core} is not online on this machine`, {
        hint: `its cores are ${online.join(', ')}`,
      });
    }
  }
  // The lowest core serves the agent, all others may be harvested; a single core does both.
  const housekeeping = user.cores?.housekeeping ?? [
    online.find((core) => !user.cores?.functions?.includes(core)) ?? online[0]!,
  ];
  const others = online.filter((core) => !housekeeping.includes(core));
  const functions = user.cores?.functions ?? (others.length > 0 ? others : [...online]);
  const stateDir = user.stateDir ?? '/var/lib/nemo';
  return {
    name: user.name ?? 'nemo',
    stateDir,
    runDir: user.runDir ?? '/run/nemo',
    policy: policyByName(user.policy ?? 'nemo'),
    http: {
      ...{ host: GATEWAY.host, port: GATEWAY.port, allowedHosts: [], allowedOrigins: [] },
      maxConnections: GATEWAY.connectionsMax,
      maxConnectionsPerAddress: GATEWAY.connectionsPerAddressMax,
      ...user.http,
    },
    functionCores: functions,
    housekeepingCores: housekeeping,
    allowSmtSiblings: user.cores?.allowSmtSiblings ?? false,
    resctrl: user.resctrl,
    store:
      user.store?.kind === 'redis' ? user.store : { kind: 'embedded', directory: join(stateDir, 'store') },
    pool: resolvePool(user.pool ?? {}),
    microvm: resolveMicrovm(user.microvm ?? {}),
    profileDirs: user.profileDirs ?? [],
    nfs: user.nfs ?? [],
    discovery: user.discovery ?? true,
    discoveryPeriodMs: DISCOVERY.periodMs,
    otlp: user.telemetry?.otlp && { sampleRatio: TRACE.otlpSampleRatio, ...user.telemetry.otlp },
    queues: user.queues ?? [],
    logLevel: user.logLevel ?? 'warn',
  };
}

function resolvePool(pool: NonNullable<UserConfig['pool']>): AgentConfig['pool'] {
  const { stems, warmPerFunction, prewarm, keepAlive, selection, memory } = pool;
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
  };
}

function resolveMicrovm({
  accelerator,
  kernel,
  snapshots,
}: NonNullable<UserConfig['microvm']>): MicrovmConfig {
  const { memory, disk } = snapshots ?? {};
  return {
    accelerator: accelerator ?? 'auto',
    kernel,
    budgets: {
      memoryMaxBytes:
        memory === undefined ? SNAPSHOT.memoryMaxBytes : parseBytes(memory, 'microvm.snapshots.memory'),
      diskMaxBytes: disk === undefined ? SNAPSHOT.diskMaxBytes : parseBytes(disk, 'microvm.snapshots.disk'),
    },
  };
}

/** Reads `nemo.yaml`. NOT_FOUND without the file; BAD_CONFIG with file, line and key. */
export function readConfig(file: string): UserConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
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
