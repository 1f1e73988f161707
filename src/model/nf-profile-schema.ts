/**
 * The JSON Schema of an NF profile: the one source of `NfProfile`, of what `nfs[].overrides` in the configuration may say, and
 * of the published nf-profiles/profile.schema.json, which `npm run schema` writes.
 */

import type { FromSchema } from 'json-schema-to-ts';
import { CORES, map, where } from './json-schema.js';

const pattern = <const D extends string>(description: D) =>
  ({ description, type: 'string', format: 'regex', minLength: 1 }) as const;

const PROPERTIES = {
  name: {
    description: 'Short name, unique among all profiles: instances are called <name>-<pid>.',
    type: 'string',
    pattern: '^[a-z0-9][a-z0-9-]*$',
    mustBe: 'small letters, digits and hyphens',
  },
  title: { description: 'One line for people. Default: the name.', type: 'string', minLength: 1 },
  match: {
    description:
      'Which processes are this NF. All given conditions must hold. Of a process and its children that all match, the children are taken: the parent is their supervisor.',
    minProperties: 1,
    ...map({
      process: pattern(
        "Pattern on the base name of the executable, or on the process's comm (which the kernel cuts after 15 characters); one of the two must match.",
      ),
      args: pattern('Pattern on the arguments, program name first, joined by blanks.'),
      thread: pattern('Pattern on thread names (comm): at least one thread must have such a name.'),
      kernel: {
        description:
          "Instead of the others: no process but the kernel's own packet work in one network namespace. It is never found by itself: the configuration names, under `nfs`, the pid of any process in that namespace. Its load is the softirq time of its `cores`.",
        enum: ['nftables', 'wireguard'],
      },
    }),
  },
  cores: {
    description:
      "For `match: kernel`: the cores on which its packets are handled, as its interfaces' interrupts or receive packet steering (rps_cpus) have it.",
    ...CORES,
  },
  mode: {
    description:
      'sleep: its packet threads block while there are no packets. poll: they spin, so their core reads 100 % busy.',
    enum: ['sleep', 'poll'],
  },
  pollArgs: pattern(
    'Pattern on the arguments: a process that matches it polls, whatever `mode` says, and is then not protected by FIFO.',
  ),
  packetThreads: pattern(
    'Which threads carry packets: a pattern on their names (comm), or the word `main` for the main thread alone. Default: every thread.',
  ),
  sloP99Us: {
    description: 'The 99th percentile of packet latency that must be kept, microseconds.',
    type: 'number',
    exclusiveMinimum: 0,
  },
  latency: {
    description: 'Where its packet latency comes from. Default: runqueue.',
    allOf: [
      where({ properties: { source: { const: 'tap' } } }, { required: ['ingress', 'egress', 'invariant'] }),
    ],
    ...map(
      {
        source: {
          description:
            "reported: the NF's own histogram in shared memory. runqueue: how long its packet threads waited for a core. tap: the same packets seen on two interfaces. probe: a few requests or packets of NEMO's own. none: not measured.",
          enum: ['reported', 'runqueue', 'tap', 'probe', 'none'],
        },
        ingress: {
          description: "tap: the interface, in the NF's network namespace, where packets enter.",
          type: 'string',
          minLength: 1,
          maxLength: 15,
        },
        egress: {
          description:
            "tap: the interface where they leave. What an NF sends past the queueing discipline (PACKET_QDISC_BYPASS, as the reference NFs and DPDK's af_packet do) cannot be seen there.",
          type: 'string',
          minLength: 1,
          maxLength: 15,
        },
        invariant: {
          description:
            'tap: what the NF leaves as it is. payload-tail: TCP and UDP payloads (also behind address translation). packet-tail: the last 16 bytes of an IP packet, whatever is put around it (tunnels that do not encrypt, such as VXLAN, GRE, IPIP). ipv4-id: the identification field of IPv4. five-tuple-payload: addresses, ports and payloads.',
          enum: ['payload-tail', 'packet-tail', 'ipv4-id', 'five-tuple-payload'],
        },
        probe: {
          description:
            'probe: what is sent through the NF while functions run on its cores. Default: `kind: http`. An NF with several workers answers a probe with any of them.',
          ...map(
            {
              kind: {
                description:
                  'http: HEAD requests, user agent nemo-probe, over one kept connection; any status counts as an answer. udp: a datagram, to a service that answers. icmp: an echo request.',
                enum: ['http', 'udp', 'icmp'],
              },
              target: {
                description:
                  "http: a URL http://address:port/path; without it, the first TCP port on which the NF's process listens. udp: address:port. icmp: an address. IPv4, no names.",
                type: 'string',
                minLength: 1,
              },
              payload: {
                description:
                  'udp: what is sent, in hexadecimal, for services that answer only what they understand (DNS, SIP). Default: 16 bytes that begin with nemo-probe.',
                type: 'string',
                pattern: '^([0-9a-fA-F]{2}){1,1024}$',
                mustBe: '1 to 1,024 bytes in hexadecimal',
              },
              from: {
                description:
                  'The network namespace where the probe starts: nf (that of the NF, default of http), agent (default of udp and icmp: packets have to pass through the NF), or the path of one, such as /run/netns/client.',
                type: 'string',
                pattern: '^(nf|agent|/.+)$',
                mustBe: 'nf, agent, or the path of a network namespace',
              },
              periodMs: {
                description:
                  'Milliseconds between two probes. Default 5: conflicts are judged over 20 ms, and one late answer is not a conflict.',
                type: 'number',
                minimum: 1,
                maximum: 10000,
              },
            },
            ['kind'],
          ),
        },
      },
      ['source'],
    ),
  },
  telemetry: {
    description:
      "The NF's own counters: packets, drops, and how much of a polling thread's time had packets. Asked for twice a second, beside the latency source.",
    ...map(
      {
        kind: {
          description:
            "dpdk: the telemetry socket of any DPDK program (busy time from DPDK 23.03 on, where the program counts it). ovs: Open vSwitch's control socket.",
          enum: ['dpdk', 'ovs'],
        },
        socket: {
          description:
            'Path of the socket. Default: the one at which the process listens, also in a container.',
          type: 'string',
          pattern: '^/',
          mustBe: 'a path from the root',
        },
      },
      ['kind'],
    ),
  },
  protection: {
    description:
      'What NEMO does to the scheduling of its packet threads while it manages them; put back when it stops. Default: none.',
    allOf: [
      where(
        { properties: { kind: { const: 'fifo' } } },
        { required: ['value'], properties: { value: { minimum: 1, maximum: 98 } } },
      ),
      where(
        { properties: { kind: { const: 'nice' } } },
        { required: ['value'], properties: { value: { minimum: -20, maximum: -1 } } },
      ),
    ],
    ...map(
      {
        kind: { enum: ['none', 'fifo', 'nice'] },
        value: { description: 'fifo: priority 1 to 98. nice: -20 to -1.', type: 'integer' },
      },
      ['kind'],
    ),
  },
  sleepControl: {
    description:
      'How a poll-mode NF is asked to sleep while its cores are harvested; the old setting is put back at the end, whatever happens to NEMO. Sleeping costs latency (70 us at the median for Open vSwitch): name it only where the SLO allows.',
    ...map(
      {
        kind: {
          description:
            'ovs-pmd-maxsleep: Open vSwitch 3.1 and later, other_config:pmd-maxsleep of its database.',
          enum: ['ovs-pmd-maxsleep'],
        },
        value: { description: 'Longest sleep, microseconds.', type: 'integer', minimum: 1, maximum: 10000 },
        database: {
          description:
            "Path of the socket of Open vSwitch's database. Default: that of Debian's package, /var/run/openvswitch/db.sock. What the process's own arguments say is not believed.",
          type: 'string',
          pattern: '^(/[A-Za-z0-9_.-]+)+$',
          mustBe: 'a path from the root',
        },
      },
      ['kind', 'value'],
    ),
  },
  slices: {
    description:
      'Whether the cores of a poll-mode NF that cannot be asked to sleep may be lent in slices of tens of microseconds, sized by its SLO: docs/slice-gate.md tells what that costs. Default: false.',
    type: 'boolean',
  },
  harvest: { description: 'Whether functions may run on its cores at all. Default: true.', type: 'boolean' },
} as const;

const POLL_RULE = where(
  { properties: { mode: { const: 'poll' } }, required: ['mode'] },
  {
    properties: {
      protection: {
        properties: {
          kind: {
            description:
              "A thread that polls never yields: at FIFO it would shut the kernel's own work out of its core.",
            enum: ['none', 'nice'],
          },
        },
      },
    },
  },
);

export const PROFILE_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  $id: 'https://nemo.invalid/nf-profiles/profile.schema.json',
  title: 'NF profile',
  description:
    'How NEMO recognises one kind of network function (NF), and how it treats it. One YAML file each. Patterns are JavaScript regular expressions and match anywhere unless anchored by ^ and $.',
  ...map(PROPERTIES, ['name', 'match', 'mode', 'sloP99Us']),
  allOf: [POLL_RULE],
} as const;

const { process, args, thread } = PROPERTIES.match.properties;
const { mode, packetThreads, sloP99Us, latency, telemetry, protection, sleepControl } = PROPERTIES;
const { cores, slices, harvest } = PROPERTIES;

/** An entry of `nfs` in the configuration. A kernel NF is named by its profile, so its `match` has no `kernel`. */
export const EXPLICIT_NF_SCHEMA = map(
  {
    profile: { description: 'Name of the profile.', type: 'string' },
    pid: {
      description: 'The process that runs under it when the agent starts: the entry ends with that process.',
      type: 'integer',
      minimum: 1,
    },
    match: {
      description: "Instead of the profile's conditions.",
      minProperties: 1,
      ...map({ process, args, thread }),
    },
    overrides: {
      description: 'Instead of what the profile says.',
      ...map({
        ...{ mode, packetThreads, sloP99Us, latency, telemetry, protection, sleepControl },
        ...{ cores, slices, harvest },
      }),
      allOf: [POLL_RULE],
    },
  },
  ['profile'],
);

/** A profile as it may be written: what has a default may be left out. */
export type ProfileInput = FromSchema<typeof PROFILE_SCHEMA>;

/** An NF that the operator names: by pid, or by patterns of its own, or by those of the profile. */
export type ExplicitNf = FromSchema<typeof EXPLICIT_NF_SCHEMA>;
