/** Reported: a tap on a guest's own interfaces sees nothing for ever; one whose interface comes late, or anew, neither. */

import { expect } from 'chai';
import { connect, createNamespace, type Namespace } from '../../src/linux/netns.js';
import { endProcess } from '../../src/linux/tied-process.js';
import { Core } from '../../src/model/board.js';
import { startProbe } from '../../src/nf/latency/probe.js';
import { startTap, type Tap } from '../../src/nf/latency/tap.js';
import { ControlSetup, startServer } from '../support/control-setup.js';
import { idOf } from '../support/process-id.js';
import { until } from '../support/waiting.js';

/** Datagrams to a neighbour behind the guest, 100 a second, each unlike the others. */
const SENDER = `const socket = require('dgram').createSocket('udp4'); let n = 0;
  setInterval(() => socket.send('packet number ' + n++ + ' of many', 9000, '10.2.0.9'), 10);`;

describe('report: a latency source that sees nothing', function () {
  this.timeout(60_000);
  let host: Namespace;
  let guest: Namespace;
  let tap: Tap | undefined;
  let sender: ReturnType<Namespace['spawn']> | undefined;

  /** The kernel forwards in the guest, from g0 to g1; the host sends at h0 and hears it again at h1. */
  beforeEach(async () => {
    [host, guest] = await Promise.all([createNamespace(), createNamespace()]);
    await connect(host, 'h0', guest, 'g0');
    await connectBehind();
  });
  afterEach(async () => {
    if (sender !== undefined) await endProcess(sender);
    await tap?.close();
    tap = sender = undefined;
    await Promise.all([host.close(), guest.close()]);
  });

  async function connectBehind(): Promise<void> {
    await connect(guest, 'g1', host, 'h1');
    const script = (text: string) => ['-c', `set -e; ${text}`];
    await guest.run(
      'sh',
      script(`echo 1 > /proc/sys/net/ipv4/ip_forward; ip link set g0 arp on; ip address add 10.1.0.2/24 dev g0 2>/dev/null || :
        ip address add 10.2.0.2/24 dev g1; ip neighbour add 10.2.0.9 lladdr 02:00:00:00:00:09 dev g1`),
    );
    await host.run(
      'sh',
      script(`ip link set h0 arp on; ip address add 10.1.0.1/24 dev h0 2>/dev/null || :
        ip route add 10.2.0.0/24 via 10.1.0.2 2>/dev/null || :`),
    );
  }

  function send(): void {
    sender = host.spawn(process.execPath, ['-e', SENDER], { stdio: 'ignore' });
  }

  const matched = () => tap?.statistics().matched ?? 0;

  it('on the host side of a guest packets go out to it, and come in from it', async () => {
    tap = await startTap({ nf: idOf(host.pid), ingress: 'h0', egress: 'h1', invariant: 'payload-tail' });
    send();
    await until(() => matched() > 50);
    await until(() => tap!.fault === undefined);
    // Forwarding by the kernel takes microseconds, the next packet comes 10 ms later: nothing else was taken for it.
    expect(tap.statistics()).to.include({ ambiguous: 0 });
  });

  it('packets that pass, none of them recognised, are a fault that is shown', async () => {
    tap = await startTap({ nf: idOf(guest.pid), ingress: 'g0', egress: 'lo', invariant: 'payload-tail' });
    send();
    await until(() => tap!.fault?.includes('none was recognised') === true);
    expect(tap.fault).to.include('packets pass g0 and lo');
  });

  it('an interface that comes late is waited for, and one that was made again is listened to again', async () => {
    await guest.run('ip', ['link', 'delete', 'g1']);
    const options = { nf: idOf(guest.pid), ingress: 'g0', egress: 'g1', invariant: 'payload-tail' } as const;
    tap = await startTap({ ...options, patient: true });
    await until(() => tap!.fault?.includes('g1') === true);
    for (let round = 0; round < 2; round++) {
      await connectBehind();
      send();
      const before = matched();
      await until(() => matched() > before + 20);
      expect(tap.fault).to.equal(undefined);
      await endProcess(sender!);
      sender = undefined;
      await guest.run('ip', ['link', 'delete', 'g1']);
      await until(() => tap!.fault?.includes('g1') === true);
    }
  });

  it('an NF that works and whose source tells of no packet is said to be unseen', async () => {
    const bed = await ControlSetup.start();
    try {
      tap = await startTap({ nf: idOf(guest.pid), ingress: 'g0', egress: 'g1', invariant: 'payload-tail' });
      const source = { kind: 'tap', shared: tap.shared } as const;
      // The burner in the bed stands in for a busy NF of which the tap knows nothing.
      const pid = bed.burner.pid!;
      bed.control.setNfs([bed.nf({ id: 'unseen', pid, sloUs: 1_000, source })]);
      await until(() => bed.stats.some(({ fault }) => fault?.includes('no packet was seen') === true));
      expect(bed.stats.map(({ id, p99Us }) => [id, p99Us])).to.deep.equal([['unseen', null]]);
    } finally {
      await bed.close();
    }
  });

  it('one NF without a figure does not hide those of the others on its core', async () => {
    const bed = await ControlSetup.start();
    const server = await startServer('response.end();');
    tap = await startProbe(idOf(server.pid!), { kind: 'http' });
    try {
      const pid = server.pid!;
      const shared = { kind: 'probe', shared: tap.shared } as const;
      bed.control.setNfs([
        bed.nf({ id: 'seen', pid, sloUs: 1e6, source: shared }),
        bed.nf({ id: 'leaving', pid, sloUs: 1e6, source: undefined }),
      ]);
      await until(() => bed.stats.length === 2 && bed.stats.some(({ p99Us }) => p99Us !== null));
      await until(() => Number.isFinite(bed.get(Core.p99Us)) && bed.get(Core.p99Us) > 0);
      expect(bed.stats.map(({ id }) => id)).to.have.members(['seen', 'leaving']);
    } finally {
      await bed.close();
      await endProcess(server);
    }
  });
});
