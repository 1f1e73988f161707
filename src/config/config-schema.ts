/**
 * The JSON Schema of `nemo.yaml`, and `UserConfig`, the type of what a checked one holds. What the schema cannot say, and the
 * defaults, are in config.ts.
 */

import type { FromSchema } from 'json-schema-to-ts';
import { CORES, map, where } from '../model/json-schema.js';
import { EXPLICIT_NF_SCHEMA } from '../model/nf-profile-schema.js';
import { POLICY_NAMES } from '../policy/harvest/policies.js';
import { KEEP_ALIVE_POLICIES, PREWARM_POLICIES, SELECTION_POLICIES } from '../policy/policies.js';
import { choiceSchema, DURATION_PATTERN } from '../policy/policy-entry.js';

const boolean = { type: 'boolean' } as const;
const path = { type: 'string', pattern: '^/', mustBe: 'a path from the root' } as const;
const port = { type: 'integer', minimum: 0, maximum: 65535 } as const;
const connections = { type: 'integer', minimum: 1, maximum: 1_000_000 } as const;
const text = { type: 'string', minLength: 1 } as const;
const bytes = { type: 'string', pattern: '^\\d+(\\.\\d+)?([kMG]|[KMG]i)$', mustBe: 'like 2Gi' } as const;
const share = { type: 'number', exclusiveMinimum: 0, maximum: 1 } as const;
const registryHost = {
  type: 'string',
  pattern: '^[A-Za-z0-9][-A-Za-z0-9.]*(:\\d{1,5})?$',
  mustBe: 'like registry.example:5000',
} as const;
const snapshotStore = {
  type: 'string',
  pattern: '^(memory|state|/.+)$',
  mustBe: 'memory, state, or a directory like /mnt/fast',
} as const;

export const CONFIG_SCHEMA = map({
  name: {
    description:
      "Name of this agent's cgroup root and lock: two agents of one name cannot run. Default nemo.",
    type: 'string',
    pattern: '^[A-Za-z0-9_-]{1,40}$',
    mustBe: '1 to 40 letters, digits, _ and -',
  },
  stateDir: { description: 'Functions and their code. Default /var/lib/nemo.', ...path },
  runDir: { description: 'What lives as long as the agent. Default /run/nemo.', ...path },
  policy: { type: 'string', enum: POLICY_NAMES },
  http: map({
    host: { type: 'string' },
    port,
    allowedHosts: {
      description: 'Further names of this box, without ports.',
      type: 'array',
      items: { type: 'string' },
    },
    allowedOrigins: {
      description: 'Pages that may use API and functions.',
      type: 'array',
      items: { type: 'string', pattern: '^https?://[^/\\s]+$', mustBe: 'like https://shop.example' },
    },
    functionsPort: { description: 'An origin of their own for functions, by a port.', ...port },
    functionsHost: {
      description: 'An origin of their own for functions, by a name to which nothing else answers.',
      type: 'string',
      pattern: '^[A-Za-z0-9.-]+$',
      mustBe: 'a name without a port',
    },
    maxConnections: { description: 'At once, to each port.', ...connections },
    maxConnectionsPerAddress: { description: 'At once, from one address, to all ports.', ...connections },
    keepAliveTimeout: {
      description:
        'A connection on which nothing is asked for so long is closed. Longer than a balancer in front keeps it.',
      type: 'string',
      pattern: `^${DURATION_PATTERN}$`,
      mustBe: 'like 75s',
    },
  }),
  cores: map({
    functions: CORES,
    housekeeping: CORES,
    allowSmtSiblings: {
      description: 'Functions may run on the SMT siblings of NF cores. Default false.',
      ...boolean,
    },
  }),
  egress: map({
    allow: {
      description:
        "What functions may reach although it is barred (this box's own addresses, link-local, metadata services), as `address:port` or `network/bits:port`, if their own allow-list has the address too. Default: nothing.",
      type: 'array',
      items: { type: 'string' },
    },
  }),
  resctrl: {
    description:
      'Shares of the last-level cache and of memory bandwidth for all functions together, where the host has resctrl.',
    minProperties: 1,
    ...map({ cacheShare: share, bandwidthShare: share }),
  },
  store: {
    allOf: [where({ properties: { kind: { const: 'redis' } } }, { required: ['url'] })],
    ...map({ kind: { type: 'string', enum: ['embedded', 'redis'] }, url: { type: 'string' } }, ['kind']),
  },
  pool: {
    description:
      "prewarm, keepAlive, selection: a policy's name, or a map with `policy` and its options; `keepAlive: 60s` is `{ policy: ttl, keepAlive: 60s }`.",
    ...map({
      stems: {
        description: 'Default for policies that have it.',
        type: 'integer',
        minimum: 0,
        maximum: 1000,
      },
      warmPerFunction: {
        description: 'Default for policies that have it.',
        type: 'integer',
        minimum: 0,
        maximum: 100,
      },
      prewarm: choiceSchema(PREWARM_POLICIES),
      keepAlive: choiceSchema(KEEP_ALIVE_POLICIES, {
        pattern: DURATION_PATTERN,
        about: 'a duration such as 60s',
      }),
      selection: choiceSchema(SELECTION_POLICIES),
      memory: {
        description:
          'Most that the limits of all sandboxes may come to. Default: what is free at the start, less a reserve.',
        ...bytes,
      },
      overcommit: {
        description: '1.5 lets the limits come to half as much again, though not what is used. Default 1.',
        type: 'number',
        minimum: 1,
        maximum: 100,
      },
    }),
  },
  microvm: map({
    accelerator: { type: 'string', enum: ['auto', 'kvm', 'tcg'] },
    kernel: { description: "Replaces Debian's.", ...path },
    snapshots: {
      description:
        'Most that snapshots of functions may take in memory and on disk; or the stores to spread them over, by path: a directory, state (in the state directory) or memory.',
      ...map({
        ...{ memory: bytes, disk: bytes },
        stores: {
          type: 'array',
          items: map({ path: snapshotStore, budget: bytes }, ['path', 'budget']),
        },
      }),
    },
  }),
  storage: map({
    max: {
      description: 'Most that bundles and images may take in the state directory. Default 16Gi.',
      ...bytes,
    },
  }),
  imageDirs: {
    description:
      'Folders whose images callers may name by their path. Default none: `nemo deploy` sends files.',
    type: 'array',
    items: { type: 'string', pattern: '^/.', mustBe: 'a path below the root' },
    uniqueItems: true,
  },
  registries: map({
    logins: { description: 'A docker config.json.', ...path },
    hosts: {
      description: 'Those of which more is known.',
      type: 'array',
      items: map(
        {
          host: registryHost,
          insecure: { description: 'Plain HTTP.', ...boolean },
          private: { description: 'At an address of a private network or of this box.', ...boolean },
          follow: {
            description: 'Other hosts that it may send to for tokens and blobs.',
            type: 'array',
            items: registryHost,
          },
        },
        ['host'],
      ),
    },
  }),
  profileDirs: {
    description: "Folders with profiles of one's own, beside the built-in ones.",
    type: 'array',
    items: path,
  },
  nfs: {
    description: 'NFs that profiles alone do not find, or that want another SLO.',
    type: 'array',
    items: EXPLICIT_NF_SCHEMA,
  },
  nfUsers: {
    description:
      "Users, by name or number, whose processes may be found as NFs, beside root's. Default: none.",
    type: 'array',
    items: {
      anyOf: [
        { type: 'string', pattern: '^[A-Za-z0-9_.-]+$', mustBe: 'the name of a user' },
        { type: 'integer', minimum: 0 },
      ],
    },
    uniqueItems: true,
  },
  discovery: {
    description: 'Find NFs by profile. Default true; false leaves only what `nfs` names.',
    ...boolean,
  },
  queues: {
    description: 'Redis streams whose entries call functions.',
    type: 'array',
    items: map(
      {
        url: { type: 'string', pattern: '^rediss?://', mustBe: 'like redis://:password@host:port/db' },
        stream: text,
        function: text,
        group: { description: 'Boxes of one group share the entries. Default nemo.', ...text },
        parallel: {
          description: 'Calls at the same time. Default 4.',
          type: 'integer',
          minimum: 1,
          maximum: 1000,
        },
        replies: {
          description: 'Stream that gets {entry, status, body} for every entry that was answered.',
          ...text,
        },
      },
      ['url', 'stream', 'function'],
    ),
  },
  telemetry: map({
    otlp: {
      description: 'Sends the time line of calls to an OpenTelemetry collector, by OTLP over HTTP.',
      ...map(
        {
          url: { type: 'string', pattern: '^https?://', mustBe: 'like http://collector:4318' },
          sampleRatio: { description: 'Default 0.01.', type: 'number', minimum: 0, maximum: 1 },
          headers: { type: 'object', additionalProperties: { type: 'string' } },
        },
        ['url'],
      ),
    },
  }),
  logLevel: { type: 'string', enum: ['silent', 'error', 'warn', 'info', 'debug'] },
});

/** What the user may write, the YAML of `nemo up --config`. */
export type UserConfig = FromSchema<typeof CONFIG_SCHEMA>;
