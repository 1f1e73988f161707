#!/usr/bin/env node
/**
 * Holds the files of src/ to a size at which each is one idea: none above FILE_MAX lines but the tables of data that
 * are named here, half of them below MEDIAN_MAX, and no room above ROOM_MAX. Fails with a line for each that is over.
 */

import { readdirSync, readFileSync } from 'node:fs';

const FILE_MAX = 300;
const MEDIAN_MAX = 120;
const ROOM_MAX = 6_000;
/** They hold data and no logic: more lines are more rows. */
const TABLES = ['src/console/web/styles.css', 'src/console/web/lists.css'];

const files = readdirSync('src', { recursive: true })
  .map((path) => `src/${path}`)
  .filter((path) => /\.(ts|tsx|mts|js|css|html)$/.test(path));
const sizes = files
  .map((path) => ({ path, room: path.split('/')[1], lines: readFileSync(path, 'utf8').split('\n').length - 1 }))
  .sort((a, b) => a.lines - b.lines);

const complaints = sizes
  .filter(({ path, lines }) => lines > FILE_MAX && !TABLES.includes(path))
  .map(({ path, lines }) => `${path} has ${lines} lines, more than ${FILE_MAX}: split it by its ideas`);
for (const path of TABLES) {
  const table = sizes.find((one) => one.path === path);
  if (table === undefined || table.lines <= FILE_MAX)
    complaints.push(`${path} does not have to be named in .ci/sizes.mjs: it is not there, or short enough`);
}
const median = sizes[Math.floor(sizes.length / 2)].lines;
if (median > MEDIAN_MAX) complaints.push(`half of the files have ${median} lines or more: at most ${MEDIAN_MAX}`);
const rooms = new Map();
for (const { room, lines } of sizes) rooms.set(room, (rooms.get(room) ?? 0) + lines);
for (const [room, lines] of rooms)
  if (lines > ROOM_MAX) complaints.push(`src/${room}/ has ${lines} lines, more than ${ROOM_MAX}: divide it`);

for (const line of complaints) process.stderr.write(`${line}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
