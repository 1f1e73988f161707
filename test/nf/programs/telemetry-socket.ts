/**
 * A telemetry socket as DPDK makes it, at the path argv[2], that behaves as argv[3] says. Says when it listens. Ends with
 * its parent.
 */

import koffi from 'koffi';
import { bind, listen, recv, send, socket } from '../../../src/linux/libc.js';
import { writeLine } from '../../../src/packet/nf-runtime.js';

const [path = '', manner = ''] = process.argv.slice(2);
const libc = koffi.load('libc.so.6');
const accept = libc.func('int accept(int fd, void *addr, void *len)');

const fd = socket(1, 5, 0);
const address = new Uint8Array(2 + path.length + 1);
address[0] = 1;
address.set(Buffer.from(path), 2);
if (bind(fd, address, address.length) < 0 || listen(fd, 0) < 0) throw new Error('cannot listen');
writeLine('ready');
const never = new Int32Array(new SharedArrayBuffer(4));
if (manner === 'accepts nobody') Atomics.wait(never, 0, 0);

let packets = 1_000;
const answers: Record<string, (command: string) => unknown> = {
  '/ethdev/list': () => ({ '/ethdev/list': [0, 3] }),
  '/eal/lcore/usage': () => ({ '/eal/lcore/usage': manner === 'counts cycles' ? usage() : null }),
  '/ethdev/stats': () => ({ '/ethdev/stats': { ipackets: count(), imissed: 2, rx_nombuf: 1, oerrors: 0 } }),
};
function count(): unknown {
  if (manner === 'counts backwards') return -1;
  packets += 5;
  return manner === 'counts words' ? 'many' : packets;
}
const usage = () => ({ lcore_ids: [1], total_cycles: [packets * 100], busy_cycles: [packets * 25] });

const buffer = Buffer.alloc(256);
for (;;) {
  const client = accept(fd, null, null) as number;
  const say = (text: string) => send(client, Buffer.from(text), Buffer.byteLength(text), 0x4000);
  if (manner === 'says nothing') Atomics.wait(never, 0, 0);
  say(
    manner === 'greets with noise'
      ? '<html>'
      : JSON.stringify({ version: 'x', pid: hello(), max_output_len: 9 }),
  );
  for (let length = recv(client, buffer, buffer.length, 0); length > 0; ) {
    const command = buffer.toString('utf8', 0, length);
    if (manner === 'hangs up') process.exit(0);
    if (manner === 'hangs later' && command.startsWith('/ethdev/stats')) Atomics.wait(never, 0, 0);
    const text = JSON.stringify(answers[command.split(',')[0]!]!(command));
    say(manner === 'floods' ? text.padEnd(100_000) : manner === 'answers another' ? '{"/help":{}}' : text);
    if (manner === 'speaks unasked') say(text);
    if (manner === 'is endless') for (let i = 0; i < 50; i++) say(text);
    length = recv(client, buffer, buffer.length, 0);
  }
}

function hello(): number {
  return manner === 'is somebody else' ? 1 : process.pid;
}
