/** The JSON Schema of `nemo.yaml`. Keep it beside `UserConfig`: the type for the compiler, this for people. */

import type { AnySchema } from 'ajv';
import { POLICY_NAMES } from './harvest/policies.js';
import { KEEP_ALIVE_POLICIES, PREWARM_POLICIES, SELECTION_POLICIES } from './sandbox/policies.js';
import { choiceSchema, DURATION_PATTERN } from './sandbox/policy-entry.js';

const cores = { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 1, uniqueItems: true };
const bytes = { type: 'string', pattern: '^\\d+(\\.\\d+)?([kMG]|[KMG]i)$', description: 'must be like 2Gi' };
const registryHost = {
  ...{ type: 'string', pattern: '^[A-Za-z0-9][-A-Za-z0-9.]*(:\\d{1,5})?$' },
  description: 'must be like registry.example:5000',
};
const snapshotStore = {
  ...{ type: 'string', pattern: '^(memory|state|/.+)$' },
  description: 'must be memory, state, or a directory like /mnt/fast',
};
const map = (properties: Record<string, unknown>, required: string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required,
});

export const CONFIG_SCHEMA: AnySchema = map({
  name: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,40}$', description: 'names its cgroups and its lock' },
  stateDir: { type: 'string', pattern: '^/' },
  runDir: { type: 'string', pattern: '^/' },
  policy: { type: 'string', enum: [...POLICY_NAMES] },
  http: map({
    host: { type: 'string' },
    port: { type: 'integer', minimum: 0, maximum: 65535 },
    allowedHosts: { type: 'array', items: { type: 'string' } },
    allowedOrigins: {
      type: 'array',
      items: {
        type: 'string',
        pattern: '^https?://[^/\\s]+$',
        description: 'must be like https://shop.example',
      },
    },
    functionsPort: { type: 'integer', minimum: 0, maximum: 65535 },
    functionsHost: {
      type: 'string',
      pattern: '^[A-Za-z0-9.-]+$',
      description: 'must be a name without a port',
    },
    maxConnections: { type: 'integer', minimum: 1, maximum: 1_000_000 },
    maxConnectionsPerAddress: { type: 'integer', minimum: 1, maximum: 1_000_000 },
    keepAliveTimeout: { type: 'string', pattern: `^${DURATION_PATTERN}$`, description: 'must be like 75s' },
  }),
  cores: map({ functions: cores, housekeeping: cores, allowSmtSiblings: { type: 'boolean' } }),
  egress: map({ allow: { type: 'array', items: { type: 'string' } } }),
  resctrl: {
    ...map({
      cacheShare: { type: 'number', exclusiveMinimum: 0, maximum: 1 },
      bandwidthShare: { type: 'number', exclusiveMinimum: 0, maximum: 1 },
    }),
    minProperties: 1,
  },
  store: {
    type: 'object',
    additionalProperties: false,
    properties: { kind: { type: 'string', enum: ['embedded', 'redis'] }, url: { type: 'string' } },
    required: ['kind'],
    if: { properties: { kind: { const: 'redis' } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { required: ['url'] },
  },
  pool: map({
    stems: { type: 'integer', minimum: 0, maximum: 1000 },
    warmPerFunction: { type: 'integer', minimum: 0, maximum: 100 },
    prewarm: choiceSchema(PREWARM_POLICIES),
    keepAlive: choiceSchema(KEEP_ALIVE_POLICIES, {
      pattern: DURATION_PATTERN,
      about: 'a duration such as 60s',
    }),
    selection: choiceSchema(SELECTION_POLICIES),
    memory: bytes,
    overcommit: { type: 'number', minimum: 1, maximum: 100 },
  }),
  microvm: map({
    accelerator: { type: 'string', enum: ['auto', 'kvm', 'tcg'] },
    kernel: { type: 'string', pattern: '^/' },
    snapshots: map({
      ...{ memory: bytes, disk: bytes },
      stores: {
        type: 'array',
        items: map({ path: snapshotStore, budget: bytes }, ['path', 'budget']),
      },
    }),
  }),
  storage: map({ max: bytes }),
  imageDirs: { type: 'array', items: { type: 'string', pattern: '^/.' }, uniqueItems: true },
  registries: map({
    logins: { type: 'string', pattern: '^/' },
    hosts: {
      type: 'array',
      items: map(
        {
          host: registryHost,
          insecure: { type: 'boolean' },
          private: { type: 'boolean' },
          follow: { type: 'array', items: registryHost },
        },
        ['host'],
      ),
    },
  }),
  profileDirs: { type: 'array', items: { type: 'string', pattern: '^/' } },
  nfs: {
    type: 'array',
    items: map(
      {
        profile: { type: 'string' },
        pid: { type: 'integer', minimum: 1 },
        match: map({
          process: { type: 'string', format: 'regex' },
          args: { type: 'string', format: 'regex' },
          thread: { type: 'string', format: 'regex' },
        }),
        overrides: map({
          mode: { type: 'string', enum: ['sleep', 'poll'] },
          packetThreads: { type: 'string', format: 'regex' },
          sloP99Us: { type: 'number', exclusiveMinimum: 0 },
          latency: map(
            {
              source: { type: 'string', enum: ['reported', 'runqueue', 'tap', 'probe', 'none'] },
              ingress: { type: 'string' },
              egress: { type: 'string' },
              invariant: {
                type: 'string',
                enum: ['payload-tail', 'packet-tail', 'ipv4-id', 'five-tuple-payload'],
              },
              probe: map(
                {
                  kind: { type: 'string', enum: ['http', 'udp', 'icmp'] },
                  target: { type: 'string', minLength: 1 },
                  payload: { type: 'string', pattern: '^([0-9a-fA-F]{2}){1,1024}$' },
                  from: { type: 'string', pattern: '^(nf|agent|/.+)$' },
                  periodMs: { type: 'number', minimum: 1, maximum: 10_000 },
                },
                ['kind'],
              ),
            },
            ['source'],
          ),
          telemetry: map(
            { kind: { type: 'string', enum: ['dpdk', 'ovs'] }, socket: { type: 'string', pattern: '^/' } },
            ['kind'],
          ),
          protection: map(
            { kind: { type: 'string', enum: ['none', 'fifo', 'nice'] }, value: { type: 'integer' } },
            ['kind'],
          ),
          sleepControl: map(
            {
              kind: { type: 'string', enum: ['ovs-pmd-maxsleep'] },
              value: { type: 'integer', minimum: 1, maximum: 10_000 },
              database: { type: 'string', pattern: '^(/[A-Za-z0-9_.-]+)+$' },
            },
            ['kind', 'value'],
          ),
          cores,
          slices: { type: 'boolean' },
          harvest: { type: 'boolean' },
        }),
      },
      ['profile'],
    ),
  },
  nfUsers: {
    type: 'array',
    items: {
      anyOf: [
        { type: 'string', pattern: '^[A-Za-z0-9_.-]+$' },
        { type: 'integer', minimum: 0 },
      ],
    },
    uniqueItems: true,
  },
  discovery: { type: 'boolean' },
  queues: {
    type: 'array',
    items: map(
      {
        url: { type: 'string', pattern: '^rediss?://' },
        stream: { type: 'string', minLength: 1 },
        function: { type: 'string', minLength: 1 },
        group: { type: 'string', minLength: 1 },
        parallel: { type: 'integer', minimum: 1, maximum: 1000 },
        replies: { type: 'string', minLength: 1 },
      },
      ['url', 'stream', 'function'],
    ),
  },
  telemetry: map({
    otlp: map(
      {
        url: { type: 'string', pattern: '^https?://' },
        sampleRatio: { type: 'number', minimum: 0, maximum: 1 },
        headers: { type: 'object', additionalProperties: { type: 'string' } },
      },
      ['url'],
    ),
  }),
  logLevel: { type: 'string', enum: ['silent', 'error', 'warn', 'info', 'debug'] },
});
