/**
 * What a Linux program may expect of its surroundings, in each engine that runs programs: the default file systems of the
 * OCI runtime specification (config-linux.md), the Filesystem Hierarchy Standard 3.0, POSIX.1-2017, and what every
 * distribution has.
 */

import { join } from 'node:path';
import { expect } from 'chai';
import { OciBench } from '../support/oci-bench.js';
import { nodeLayer, writeLayout } from '../support/oci-images.js';
import { ask, call, SandboxBench } from '../support/sandboxes.js';
import { STDIO } from '../support/sources.js';

/** Name -> expression of node's, and what it gives. `t`: type and permissions of a file. */
const OF_NODE: Array<[what: string, expression: string, gives: unknown]> = [
  ['OCI config-linux, default devices: null', `t('/dev/null')`, '20666'],
  ['OCI config-linux, default devices: zero', `t('/dev/zero')`, '20666'],
  ['OCI config-linux, default devices: full', `t('/dev/full')`, '20666'],
  ['OCI config-linux, default devices: random', `t('/dev/random')`, '20666'],
  ['OCI config-linux, default devices: urandom', `t('/dev/urandom')`, '20666'],
  ['OCI config-linux, default devices: tty', `t('/dev/tty')`, '20666'],
  ['OCI config-linux, default devices: ptmx', `t('/dev/ptmx')`, '20666'],
  ['OCI runtime-linux, links: fd', `fs.readlinkSync('/dev/fd')`, '/proc/self/fd'],
  ['OCI runtime-linux, links: stdin', `fs.readlinkSync('/dev/stdin')`, '/proc/self/fd/0'],
  ['OCI runtime-linux, links: stdout opens', `fs.closeSync(fs.openSync('/dev/stdout', 'w'))`, undefined],
  ['OCI runtime-linux, links: stderr opens', `fs.closeSync(fs.openSync('/dev/stderr', 'w'))`, undefined],
  ['OCI runtime-linux, links: fd/1 opens', `fs.closeSync(fs.openSync('/dev/fd/1', 'w'))`, undefined],
  ['OCI config, mounts: /dev/pts', `fs.existsSync('/dev/pts/ptmx')`, true],
  ['OCI config, mounts: /dev/shm', `t('/dev/shm')`, '41777'],
  ['stdin is at its end', `fs.readFileSync(0).length`, 0],
  ['FHS 3.18: /tmp', `t('/tmp')`, '41777'],
  ['FHS 3.18: TMPDIR is writable', `fs.writeFileSync(os.tmpdir() + '/x', 'x')`, undefined],
  ['FHS 3.18: a script in /tmp runs', `fs.chmodSync(os.tmpdir() + '/x', 0o755)`, undefined],
  ['proc(5): self', `fs.readlinkSync('/proc/self') === String(process.pid)`, true],
  ['proc(5): self/exe', `fs.existsSync('/proc/self/exe')`, true],
  ['hosts(5): localhost', `fs.readFileSync('/etc/hosts', 'utf8').includes('127.0.0.1 localhost')`, true],
  ['getaddrinfo(3): localhost', `dns.lookup('localhost', 4).then((one) => one.address)`, '127.0.0.1'],
  ['getaddrinfo(3): the own name', `dns.lookup(os.hostname(), 4).then((one) => one.address)`, '127.0.0.1'],
  [
    'hostname(7): the file tells it',
    `fs.readFileSync('/etc/hostname', 'utf8').trim() === os.hostname()`,
    true,
  ],
  ['resolv.conf(5)', `typeof fs.readFileSync('/etc/resolv.conf', 'utf8')`, 'string'],
  ['ip(7): 127.0.0.1 is up', `listens('127.0.0.1')`, true],
  ['ipv6(7): ::1 is up', `listens('::1')`, true],
  ['unix(7): a socket in /tmp', `listens(os.tmpdir() + '/socket')`, true],
  ['POSIX 8.3: HOME', `process.env.HOME`, '/tmp'],
  ['POSIX 8.3: PATH', `/(^|:)\\/usr\\/bin(:|$)|^\\/bin$/.test(process.env.PATH)`, true],
  ['umask(2)', `process.umask().toString(8)`, '22'],
  ['signal(7): none is blocked', `status('SigBlk')`, '0000000000000000'],
  ['getrlimit(2): open files', `limit('Max open files') >= 1024`, true],
  ['getrlimit(2): stack', `limit('Max stack size') >= 8 * 2 ** 20`, true],
  ['sched_getaffinity(2)', `os.availableParallelism() >= 1`, true],
  ['proc(5): oom_score_adj', `fs.readFileSync('/proc/self/oom_score_adj', 'utf8').trim()`, '1000'],
  ['tzset(3): UTC', `new Date(0).getTimezoneOffset()`, 0],
];

/** The rest is the sandbox's own in the engine `process`, and the image's in `oci`. */
const OF_NODE_ALONE: typeof OF_NODE = [
  ['getpwuid(3)', `os.userInfo().username`, 'function'],
  ['passwd(5): home', `os.userInfo().homedir`, '/tmp'],
  ['POSIX 8.3: USER', `process.env.USER`, 'function'],
  ['POSIX 8.2: LANG', `process.env.LANG`, 'C.UTF-8'],
];

const OF_SHELL: Array<[what: string, script: string, prints: string]> = [
  ['/dev/stdout can be opened', 'echo yes >/dev/stdout', 'yes'],
  ['/dev/stderr can be opened', 'echo yes >/dev/stderr && echo yes', 'yes\nyes'],
  ['/dev/fd/1 can be opened', 'echo yes | tee /dev/fd/3 3>&1 >/dev/null', 'yes'],
  ['/dev/stdin is the body', 'cat /dev/stdin', 'body'],
  ['/dev/null takes all', 'echo no >/dev/null; echo yes', 'yes'],
  ['/dev/full is full', 'echo x 2>/dev/null >/dev/full || echo yes', 'yes'],
  ['the user has a name', 'id -un; id -gn', 'function\nfunction'],
  ['HOME is the user’s', 'echo ~; echo $HOME', '/tmp\n/tmp'],
  ['USER and LOGNAME', 'echo $USER $LOGNAME', 'function function'],
  ['the working directory can be written', 'pwd; touch here && echo yes', '/tmp\nyes'],
  ['/var/tmp can be written', 'touch /var/tmp/there && echo yes', 'yes'],
  ['the locale is UTF-8', 'locale charmap', 'UTF-8'],
  ['time zones are known', 'TZ=Europe/Berlin date -d @0 +%H:%M', '01:00'],
  ['the time zone is UTC', 'date +%Z', 'UTC'],
  ['localhost has an address', `perl -MSocket -e 'print inet_ntoa(inet_aton("localhost"))'`, '127.0.0.1'],
  [
    'the own name has an address',
    `perl -MSocket -MSys::Hostname -e 'print inet_ntoa(inet_aton(hostname))'`,
    '127.0.0.1',
  ],
  ['services have ports', 'getent services https | tr -s " " | cut -d" " -f2', '443/tcp'],
  [
    'certificates are there',
    '[ ! -e /usr/sbin/update-ca-certificates ] || [ -s /etc/ssl/certs/ca-certificates.crt ] && echo yes',
    'yes',
  ],
  [
    'SIGPIPE ends a writer',
    'yes | head -1; (yes; echo $? >&2) 2>/tmp/ended | head -1; sleep 0; cat /tmp/ended',
    'y\ny\n141',
  ],
  ['no signal is ignored', 'grep SigIgn /proc/self/status | cut -f2', '0000000000000000'],
  ['mkfifo', 'mkfifo /tmp/fifo; (echo yes >/tmp/fifo &) ; cat /tmp/fifo', 'yes'],
  ['shared memory', 'echo yes >/dev/shm/x && cat /dev/shm/x', 'yes'],
  ['nproc', '[ $(nproc) -ge 1 ] && echo yes', 'yes'],
  ['umask', 'umask', '0022'],
  ['a here-document', 'cat <<X\nyes\nX', 'yes'],
  ['mktemp', '[ -d $(mktemp -d) ] && echo yes', 'yes'],
  ['/etc/mtab', 'grep -c " / " /etc/mtab', '1'],
  ['a job of its own session', 'setsid sh -c "echo yes"', 'yes'],
];

const PROBE = `
import fs from 'node:fs'; import os from 'node:os'; import net from 'node:net'; import dns from 'node:dns/promises';
const t = (path) => fs.statSync(path).mode.toString(8);
const status = (name) => new RegExp(name + ':\\\\s*(\\\\S+)').exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
const limit = (name) => {
  const [, soft] = new RegExp(name + '\\\\s+(\\\\S+)').exec(fs.readFileSync('/proc/self/limits', 'utf8'));
  return soft === 'unlimited' ? Infinity : Number(soft);
};
const listens = (where) => new Promise((resolve, reject) => {
  const server = net.createServer((socket) => socket.end()).once('error', reject);
  const on = where.includes('/') ? { path: where } : { host: where, port: 0 };
  server.listen(on, () => {
    const to = where.includes('/') ? { path: where } : { host: where, port: server.address().port };
    net.connect(to).once('error', reject).once('connect', () => { server.close(); resolve(true); }).resume();
  });
});
export default async (rows) => {
  const told = [];
  for (const [name, row] of Object.entries({ROWS})) {
    try { const value = await row(); told.push(value === undefined ? 'undefined' : value); } catch (error) { told.push(String(error)); }
  }
  return told;
};`;

const probeOf = (rows: typeof OF_NODE) =>
  PROBE.replace('{ROWS}', `{${rows.map(([, expression], i) => `${i}: () => ${expression}`).join(',')}}`);

describe('the surroundings of a program', function () {
  this.timeout(30_000);

  const itHas = (rows: typeof OF_NODE, told: () => unknown[]) => {
    for (const [i, [what, , gives]] of rows.entries()) {
      it(what, () => expect(told()[i]).to.deep.equal(gives === undefined ? 'undefined' : gives));
    }
  };

  describe('in the engine process, of JavaScript', () => {
    const bench = new SandboxBench();
    const rows = [...OF_NODE, ...OF_NODE_ALONE];
    let told: unknown[] = [];
    before(async () => {
      told = (await ask(await bench.run(probeOf(rows)))) as unknown[];
    });
    after(() => bench.close());
    itHas(rows, () => told);
  });

  describe('in the engine oci, of JavaScript', () => {
    const bench = new OciBench();
    let told: unknown[] = [];
    before(async () => {
      const app = [{ path: 'app/probe.mjs', content: probeOf(OF_NODE) }];
      const folder = join(bench.directory, 'image');
      writeLayout(folder, { layers: [nodeLayer(), app], config: { Env: ['PATH=/usr/bin:/bin'] } });
      const variant = await bench.deploy({ image: folder, handler: '/app/probe.mjs' });
      told = (await ask(await bench.run(variant))) as unknown[];
    });
    after(() => bench.close());
    itHas(OF_NODE, () => told);
  });

  describe('in the engine process, of a program', () => {
    const bench = new SandboxBench();
    const MARK = '\u0001';
    let told: string[] = [];
    before(async () => {
      const scripts = OF_SHELL.map(([, script]) => `(\n${script}\n) 2>&1; printf '${MARK}'`);
      const sandbox = await bench.run(`#!/bin/bash\n${scripts.join('\n')}\n`, {
        variant: 'exec',
        source: STDIO,
      });
      told = (await call(sandbox, { body: 'body' })).body.toString().split(MARK);
    });
    after(() => bench.close());
    for (const [i, [what, , prints]] of OF_SHELL.entries()) {
      it(what, () => expect(told[i]?.trim()).to.equal(prints));
    }
  });
});
