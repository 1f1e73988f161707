/**
 * What the program of an image finds around it: the defaults of the OCI runtime specification (1.0), and what every container
 * runtime adds to an image. One line a rule, with its section: what a shell in the container says, and what it has to be.
 */

import { join } from 'node:path';
import { expect } from 'chai';
import { OciBench } from '../support/oci-bench.js';
import { busyboxLayer, writeLayout } from '../support/oci-images.js';
import { call } from '../support/sandboxes.js';

const b = '/bin/busybox';
const typeAt = (path: string) => `${b} awk '$2 == "${path}" { found = $3 } END { print found }' /proc/mounts`;
const optionsAt = (path: string) =>
  `${b} awk '$2 == "${path}" { found = $4 } END { print found }' /proc/mounts`;
const device = (name: string) => `${b} stat -c '%F %t:%T %a' /dev/${name}`;
const status = (field: string) => `${b} awk '$1 == "${field}:" { print $2 }' /proc/self/status`;
const readable = (path: string) =>
  `test -s ${path} && ${b} head -c 1 ${path} >/dev/null 2>&1 && echo yes || echo no`;

const RULES: Array<[rule: string, command: string, right: string | RegExp]> = [
  ['default filesystems: /proc', typeAt('/proc'), 'proc'],
  ['default filesystems: /proc is nobody’s to change', optionsAt('/proc'), /^ro,.*nosuid,nodev,noexec/],
  ['default filesystems: /dev/pts, terminals of its own', typeAt('/dev/pts'), 'devpts'],
  ['default filesystems: /dev/shm', typeAt('/dev/shm'), 'tmpfs'],
  ['default filesystems: /dev/shm may be written', 'echo x >/dev/shm/a && cat /dev/shm/a', 'x'],
  [
    'default filesystems: no /sys, by decision: it tells of the host',
    'test -e /sys/kernel && echo there || echo none',
    'none',
  ],
  ['default devices: null', device('null'), 'character special file 1:3 666'],
  ['default devices: zero', device('zero'), 'character special file 1:5 666'],
  ['default devices: full', device('full'), 'character special file 1:7 666'],
  ['default devices: random', device('random'), 'character special file 1:8 666'],
  ['default devices: urandom', device('urandom'), 'character special file 1:9 666'],
  ['default devices: tty', device('tty'), 'character special file 5:0 666'],
  ['default devices: ptmx leads to its own', 'readlink /dev/ptmx', 'pts/ptmx'],
  ['default devices: ptmx may be opened', ': <>/dev/ptmx && echo opened', 'opened'],
  ['default devices: null takes and gives nothing', 'echo x >/dev/null; wc -c </dev/null', '0'],
  ['default devices: full is full', 'echo x 2>/dev/null >/dev/full || echo full', 'full'],
  ['dev symbolic links: fd', 'readlink /dev/fd', '/proc/self/fd'],
  ['dev symbolic links: stdin', 'readlink /dev/stdin', '/proc/self/fd/0'],
  ['dev symbolic links: stdout', 'readlink /dev/stdout', '/proc/self/fd/1'],
  ['dev symbolic links: stderr', 'readlink /dev/stderr', '/proc/self/fd/2'],
  ['masked paths: kcore', readable('/proc/kcore'), 'no'],
  ['masked paths: keys', readable('/proc/keys'), 'no'],
  ['masked paths: timer_list', readable('/proc/timer_list'), 'no'],
  ['masked paths: latency_stats', readable('/proc/latency_stats'), 'no'],
  ['masked paths: scsi', 'ls /proc/scsi 2>/dev/null | wc -l', '0'],
  ['read-only paths: sysctl', 'echo x 2>/dev/null >/proc/sys/kernel/hostname || echo refused', 'refused'],
  ['read-only paths: sysrq-trigger', 'echo x 2>/dev/null >/proc/sysrq-trigger || echo refused', 'refused'],
  [
    'process, capabilities: none, in any set',
    ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(status).join('; '),
    Array(5).fill('0000000000000000').join('\n'),
  ],
  ['process, noNewPrivileges', status('NoNewPrivs'), '1'],
  ['process, user: nobody’s else, and never root', 'test $(id -u) -ge 61000 && echo own', 'own'],
  ['process, cwd: as the image says, made where it lacks it', 'pwd', '/srv/app'],
  ['process, env: the image’s, and a PATH', 'echo $FROM_IMAGE $PATH', 'image /bin:/usr/bin'],
  ['process, rlimits: no core dumps', 'ulimit -c', /^[01]$/],
  ['root: read-only', 'touch /x 2>/dev/null || echo refused', 'refused'],
  ['mounts: /tmp may be written', 'echo x >/tmp/a && cat /tmp/a', 'x'],
  [
    'mounts: volumes of the image may be written, also behind a link',
    'echo x >/var/run/vol/a && cat /run/vol/a',
    'x',
  ],
  ['mounts: and the link is there still', 'readlink /var/run', '/run'],
  ['hostname', 'hostname', 'sandbox'],
  ['namespaces: processes of its own only', 'test $(ls /proc | grep -c "^[0-9]") -lt 12 && echo few', 'few'],
  ['namespaces: no network but loopback', `${b} awk 'NR > 2 { print $1 }' /proc/net/dev`, 'lo:'],
  [
    'runtimes: /etc/hosts knows localhost and its own name',
    'grep -c -E "^127.0.0.1.*localhost sandbox" /etc/hosts',
    '1',
  ],
  ['runtimes: /etc/hostname', 'cat /etc/hostname', 'sandbox'],
  [
    'runtimes: its user has a name, beside the image’s users',
    'whoami | cut -c1-7; grep -c "^app:" /etc/passwd',
    'sandbox\n1',
  ],
];

/** A mount or a variable that its line did not name would not be seen. */
const MARK = '=====';

describe('the OCI runtime specification', function () {
  this.timeout(60_000);
  const bench = new OciBench();
  let said: string[] = [];
  after(() => bench.close());
  before(async () => {
    const checks = RULES.map(([, command]) => `{ ${command}; } 2>&1; echo ${MARK}`).join('\n');
    const applets = [
      'awk',
      'stat',
      'readlink',
      'ls',
      'wc',
      'touch',
      'hostname',
      'whoami',
      'grep',
      'cut',
      'head',
    ];
    const layer = [
      ...busyboxLayer(),
      ...applets.map((name) => ({ path: `bin/${name}`, type: 'SymbolicLink', linkpath: 'busybox' }) as const),
      { path: 'run/', type: 'Directory' } as const,
      { path: 'var/run', type: 'SymbolicLink', linkpath: '/run' } as const,
      { path: 'etc/passwd', content: 'root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/app:/bin/sh' },
      { path: 'checks', content: `#!/bin/sh\n${checks}\n` },
    ];
    const config = {
      Cmd: ['sh', '-c', '/checks >/tmp/index.html; exec httpd -f -p 80 -h /tmp'],
      Env: ['FROM_IMAGE=image', 'PATH=/bin:/usr/bin'],
      WorkingDir: '/srv/app',
      User: 'app',
      Volumes: { '/var/run/vol': {} },
      ExposedPorts: { '80/tcp': {} },
    };
    writeLayout(join(bench.directory, 'image'), { layers: [layer], config });
    const sandbox = await bench.run(await bench.deploy({ image: join(bench.directory, 'image') }));
    const answer = await call(sandbox, { method: 'GET', path: '/' }, performance.now() + 30_000);
    said = answer.body.toString().split(`${MARK}\n`);
  });

  for (const [i, [rule, , right]] of RULES.entries())
    it(rule, () => {
      const word = said[i]?.trim();
      if (typeof right === 'string') expect(word).to.equal(right);
      else expect(word).to.match(right);
    });
});
