import { existsSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createHttpSetup, type HttpSetup } from '../../../bench/nf/http-setup.js';
import { startProgram } from '../../../bench/nf/programs.js';
import { ensurePackages } from '../../../src/host/packages.js';
import type { RunningNf } from '../../../src/lab/testbed.js';
import type { Namespace } from '../../../src/linux/netns.js';
import { letTimePass } from '../../support/waiting.js';
import { harvest } from './harvest.js';

/** The two ends of the tunnel: the client's, and that of the NF, whose kernel answers echo requests. */
const NEAR = { device: `wgc${process.pid}`, address: '10.99.0.1', peer: '10.77.0.2', port: 51_820 };
const FAR = { device: `wgn${process.pid}`, address: '10.99.0.2', peer: '10.77.0.1', port: 51_820 };

describe('WireGuard in user space, from its Debian package', function () {
  this.timeout(180_000);
  const core = cpus().length - 1;
  let bed: HttpSetup;
  let client: RunningNf;
  let wireguard: RunningNf;

  before(async function () {
    this.timeout(180_000);
    if (core < 1 || !existsSync('/dev/net/tun')) this.skip();
    await ensurePackages(['wireguard-go', 'wireguard-tools']);
    bed = await createHttpSetup();
    const keys = { near: await newKey(bed.client), far: await newKey(bed.nf) };
    client = await startEnd(bed, bed.client, 0, NEAR, keys.near.secret, keys.far.public, FAR.address);
    wireguard = await startEnd(bed, bed.nf, core, FAR, keys.far.secret, keys.near.public, NEAR.address);
  });
  after(async () => {
    await wireguard?.close();
    await client?.close();
    await bed?.close();
  });

  it('is found and probed through its tunnel, and keeps its SLO while functions take the rest of its core', async function () {
    const latency = {
      source: 'probe' as const,
      probe: { kind: 'icmp' as const, target: FAR.address, from: bed.client.path, periodMs: 2 },
    };
    const match = { process: '^wireguard-go$', args: FAR.device };
    const received = async () =>
      Number((await bed.nf.run('wg', ['show', FAR.device, 'transfer'])).split('\t')[1]);
    const { measured, nf, functionsTook, calls, sloHeld, before, after } = await harvest(this, {
      core,
      isNf: ({ pid, p99Us }) => pid === wireguard.pid && p99Us !== null,
      pid: 0,
      config: { nfs: [{ profile: 'wireguard-go', match, overrides: { latency } }] },
      measure: async () => {
        const from = await received();
        // What is measured is a rate.
        await letTimePass(2_000);
        return (await received()) - from;
      },
    });
    expect(nf).to.include({
      profile: 'wireguard-go',
      mode: 'sleep',
      latencySource: 'probe',
      protection: 'nice:-10',
    });
    expect(nf.cores).to.deep.equal([core]);
    // An echo request in the tunnel has 128 bytes.
    expect(measured).to.be.greaterThan(128 * 20);
    expect(calls).to.include({ failed: 0 });
    expect(functionsTook).to.be.greaterThan(0.3);
    expect(nf.p99Us).to.be.greaterThan(0);
    expect(sloHeld).to.equal(true);
    expect(after).to.equal(before);
  });
});

async function newKey(namespace: Namespace): Promise<{ secret: string; public: string }> {
  const [secret, shown] = (
    await namespace.run('sh', ['-c', 'key=$(wg genkey); echo "$key"; echo "$key" | wg pubkey'])
  ).split('\n');
  return { secret: secret!, public: shown! };
}

/** One end, bound to a core; resolves when its tunnel is set up. */
async function startEnd(
  bed: HttpSetup,
  namespace: Namespace,
  core: number,
  end: typeof NEAR,
  secret: string,
  peerKey: string,
  peerAddress: string,
): Promise<RunningNf> {
  const { device, address, peer, port } = end;
  const file = join(bed.folder, device);
  writeFileSync(
    file,
    `[Interface]
PrivateKey = ${secret}
ListenPort = ${port}
[Peer]
PublicKey = ${peerKey}
Endpoint = ${peer}:${port}
AllowedIPs = ${peerAddress}/32
`,
    { mode: 0o600 },
  );
  const running = await startProgram({
    namespace,
    command: 'taskset',
    args: ['-c', String(core), 'wireguard-go', '--foreground', device],
    env: { LOG_LEVEL: 'verbose' },
    ready: /UAPI listener started/,
    stopSignal: 'SIGTERM',
  });
  await namespace.run('wg', ['setconf', device, file]);
  await namespace.run('ip', ['address', 'add', `${address}/24`, 'dev', device]);
  await namespace.run('ip', ['link', 'set', device, 'up']);
  return running;
}
