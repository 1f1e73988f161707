#!/usr/bin/env node
/**
 * Holds the rooms of src/ in their order: a room imports only from rooms above it in this list, nothing imports in a
 * circle, and the product imports nothing of bench/ and test/. `--write` draws what the code is into
 * docs/architecture.md; without it, a picture that is out of date is an error.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { cruise } from 'dependency-cruiser';

const ROOMS = {
  model: 'what every room speaks: calls, functions, errors, the board, histograms, frames of the console',
  tunables: 'every constant that somebody may want to turn, a file a part',
  streams: 'bytes, lines and JSON of others, read with bounds',
  policy: 'decisions: pure functions of a snapshot and the time. Conflict, harvest, placement, scheduling, prewarming, keep-alive',
  linux: 'the kernel: system calls, scheduling, cgroups, procfs, namespaces, packet sockets',
  host: 'what the machine has installed, and what it can do',
  store: 'what has to be remembered: embedded (LMDB) or Redis',
  packet: 'frames, the packet functions, and the runtime that makes an NF of them',
  network: 'what functions may connect to',
  nf: 'profiles, discovery, identity, protection, latency and telemetry of NFs',
  control: 'the control loop and the slice gate: sample, ask policy/, apply',
  guard: 'every NF that is watched: found, claimed, protected, handed to the loop',
  runner: 'what runs inside a sandbox, and the frames that leave it',
  confinement: 'what a program of strangers can see and call: namespaces, root, system call filter',
  bundle: 'from the source text of a function to what is stored of it',
  images: 'container images: fetched, checked, unpacked',
  sandbox: 'the contract of an engine, and what the sandboxes of all engines do alike',
  snapshots: 'snapshots in memory and on disks',
  engine: 'the engines: process, isolate, wasm, oci, microvm',
  pool: 'sandboxes as instances of functions: made, loaded, kept, ended; the planner',
  preimport: 'stems that have imported packages of functions ahead of calls',
  dispatch: 'calls: queued, placed, sent, answered',
  triggers: 'calls that nobody makes by HTTP: schedules, queues',
  provision: 'functions: deployed, stored, found again',
  telemetry: 'metrics, traces, logs, events, the feed',
  console: 'the page that operators look at',
  gateway: 'HTTP: who may ask, what is answered',
  config: 'the configuration file',
  agent: 'the composition root: `nemo up`',
  sim: 'the same scheduler on a virtual clock',
  lab: 'test beds, NFs and traffic, for the demo, the bench and tests',
  cli: '`nemo`',
};

const DOCUMENT = 'docs/architecture.md';
const names = Object.keys(ROOMS);
const only = (rooms) => `^src/(${rooms.join('|')})/`;

const upward = names.slice(0, -1).map((name, index) => ({
  name: `${name}-imports-upward`,
  severity: 'error',
  from: { path: only([name]) },
  to: { path: only(names.slice(index + 1)) },
}));
const forbidden = [
  { name: 'circle', severity: 'error', from: {}, to: { circular: true } },
  { name: 'bench-or-test', severity: 'error', from: { path: '^src/' }, to: { path: '^(bench|test)/' } },
  { name: 'no-room', severity: 'error', from: {}, to: { path: '^src/', pathNot: only(names) } },
  ...upward,
];

const { output } = await cruise(['src', 'bench'], {
  parser: 'swc',
  doNotFollow: { path: 'node_modules' },
  exclude: { path: '^src/console/(web|vite)' },
  validate: true,
  ruleSet: { forbidden },
});

for (const { rule, from, to } of output.summary.violations)
  process.stderr.write(`${rule.name}: ${from} -> ${to}\n`);
if (output.summary.violations.length > 0) process.exit(1);

/** Room -> rooms that it imports from. */
const arrows = new Map(names.map((name) => [name, new Set()]));
const roomOf = (path) => (path.startsWith('src/') ? path.split('/')[1] : undefined);
for (const { source, dependencies } of output.modules) {
  const from = roomOf(source);
  if (from === undefined) continue;
  for (const { resolved } of dependencies) {
    const to = roomOf(resolved);
    if (to !== undefined && to !== from) arrows.get(from).add(to);
  }
}

/** Arrows that no way over other rooms stands for. */
function reduced() {
  const reach = new Map();
  for (const name of names) {
    const all = new Set(arrows.get(name));
    for (const to of arrows.get(name)) for (const further of reach.get(to)) all.add(further);
    reach.set(name, all);
  }
  return names.flatMap((from) => {
    const direct = [...arrows.get(from)];
    return direct
      .filter((to) => !direct.some((other) => reach.get(other).has(to)))
      .map((to) => `  ${from} --> ${to}`);
  });
}

const drawn = [
  '<!-- rooms: made by `npm run rooms`; an arrow means that a room imports from another, also over those between -->',
  '```mermaid',
  'flowchart TD',
  ...reduced(),
  '```',
  '',
  '| room | what is in it |',
  '| --- | --- |',
  ...names.toReversed().map((name) => `| \`${name}/\` | ${ROOMS[name]} |`),
  '<!-- /rooms -->',
].join('\n');

const document = readFileSync(DOCUMENT, 'utf8');
const now = document.replace(/<!-- rooms:[\s\S]*<!-- \/rooms -->/, () => drawn);
if (process.argv.includes('--write')) writeFileSync(DOCUMENT, now);
else if (now !== document) {
  process.stderr.write(`${DOCUMENT} does not show the rooms as they are: npm run rooms\n`);
  process.exit(1);
}
