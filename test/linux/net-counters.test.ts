import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { cpus } from 'node:os';
import { expect } from 'chai';
import { QueueWatch } from '../../src/control/queue-watch.js';
import { BlockingSocket } from '../../src/linux/blocking-socket.js';
import { bind, close, socket } from '../../src/linux/libc.js';
import { queueInodes } from '../../src/linux/listening.js';
import { InterfaceDrops, SocketQueues, SoftnetStat } from '../../src/linux/net-counters.js';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../src/linux/netns.js';
import { CONTROL } from '../../src/tunables/index.js';

/** More than Linux's default receive buffer takes: each counts with at least 512 bytes. */
const FLOOD = 1_000;

describe('counters of the packet path', () => {
  it('finds the line of its core', () => {
    const core = cpus().length - 1;
    const stat = new SoftnetStat(core);
    const squeezed = () => {
      const lines = readFileSync('/proc/net/softnet_stat', 'latin1').trim().split('\n');
      const line = lines.map((text) => text.split(' ').map((word) => Number.parseInt(word, 16)));
      return line.find((columns) => columns[12] === core)![2]!;
    };
    const before = squeezed();
    expect(stat.read()).to.equal(true);
    expect(stat.squeezed).to.be.within(before, squeezed());
    stat.close();
    const none = new SoftnetStat(4_000);
    expect(none.read()).to.equal(false);
    none.close();
  });

  describe('of interfaces', () => {
    let spaces: Namespace[];
    afterEach(() => Promise.all(spaces.map((space) => space.close())));

    it('count in the namespace of the process, without its loopback', async () => {
      spaces = [await createNamespace(), await createNamespace()];
      const [inner, outer] = spaces as [Namespace, Namespace];
      await connect(inner, 'n0', outer, 'g0');
      await inner.run('ip', ['address', 'add', '10.9.0.1/24', 'dev', 'n0']);
      const drops = new InterfaceDrops(inner.pid);
      drops.read();
      const before = drops.dropped;
      // A veth drops what is too long for its peer.
      await outer.run('ip', ['link', 'set', 'g0', 'mtu', '1000']);
      insideNamespace(inner.path, () => {
        const sender = BlockingSocket.inet('udp', '10.9.0.2', 9, 100);
        for (let i = 0; i < 5; i++) sender.send(new Uint8Array(1_400));
        sender.close();
      });
      const table = readFileSync(`/proc/${inner.pid}/net/dev`, 'latin1');
      const columns = /n0:\s*(.*)/.exec(table)![1]!.split(/\s+/).map(Number);
      drops.read();
      expect(drops.dropped).to.equal(columns[3]! + columns[4]! + columns[11]!);
      expect(drops.dropped - before).to.equal(5);
      drops.close();
    });
  });

  describe('of sockets', () => {
    let fd: number;
    let port: number;
    let server: Server;
    let sender: BlockingSocket;

    beforeEach(async () => {
      fd = socket(2, 2, 0);
      // Any port of the loopback address.
      bind(fd, new Uint8Array([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), 16);
      const lines = readFileSync('/proc/self/net/udp', 'latin1')
        .split('\n')
        .map((line) => line.trim().split(/\s+/));
      const mine = new Set(queueInodes(process.pid).map(String));
      port = Number.parseInt(lines.find((line) => mine.has(line[9] ?? ''))![1]!.split(':')[1]!, 16);
      sender = BlockingSocket.inet('udp', '127.0.0.1', port, 100);
      server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    });
    afterEach(() => {
      close(fd);
      sender.close();
      server.close();
    });
    const flood = () => {
      for (let i = 0; i < FLOOD; i++) sender.send(new Uint8Array(100));
    };

    it('tell how much waits and how much was dropped, of the process’s own sockets only', () => {
      const mine = new SocketQueues(process.pid, new Set(queueInodes(process.pid)));
      const others = new SocketQueues(process.pid, new Set([1]));
      mine.read();
      expect(mine).to.include({ dropped: 0, udpBytes: 0, connections: 0 });
      flood();
      mine.read();
      others.read();
      expect(mine.udpBytes).to.be.greaterThan(10_000);
      expect(mine.dropped).to.be.within(1, FLOOD);
      expect(others).to.include({ dropped: 0, udpBytes: 0 });
      mine.close();
      others.close();
    });

    it('tell how many connections nobody has accepted yet', () => {
      const { port } = server.address() as { port: number };
      const queues = new SocketQueues(process.pid, new Set(queueInodes(process.pid)));
      // The server's event loop does not run before the end of this test.
      const clients = [1, 2, 3].map(() => BlockingSocket.inet('tcp', '127.0.0.1', port, 500));
      queues.read();
      expect(queues.connections).to.equal(3);
      for (const client of clients) client.close();
      queues.close();
    });

    it('are a sign in the loop while functions run, and counted in any case', () => {
      const nf = {
        ...{ id: 'x', pid: process.pid, cores: [0], tids: [], packetTids: [], sloUs: 1, harvest: true },
        ...{ softirq: false, source: undefined, socketInodes: queueInodes(process.pid) },
      };
      const watch = new QueueWatch(nf);
      const round = (ran: boolean) => {
        for (let i = 0; i < 4 * CONTROL.queueTicks; i++) watch.tick(ran, 0, Number.NaN);
      };
      round(true);
      flood();
      round(true);
      expect(watch.sign).to.match(/dropped at full sockets/);
      expect(watch.stats().socketDrops).to.be.within(1, FLOOD);
      round(false);
      round(false);
      // Nobody reads: the queue stays long, but no function is to blame for that.
      expect(watch.stats().sign).to.equal(null);
      watch.close();
    });
  });
});
