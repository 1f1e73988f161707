import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { TrafficSpec } from '../../../src/lab/traffic/spec.js';
import { prepareWorkload, type Workload } from '../../../src/lab/traffic/workload.js';
import { buildFrame } from '../../../src/packet/build.js';
import { Headers, OK, parseHeaders } from '../../../src/packet/headers.js';
import { writePcap } from '../../packet/write-pcap.js';

const SYN = buildFrame({
  protocol: 'tcp',
  source: '10.0.0.1',
  destination: '10.0.0.2',
  sourcePort: 1,
  destinationPort: 80,
});
const ANSWER = buildFrame({
  protocol: 'tcp',
  source: '10.0.0.2',
  destination: '10.0.0.1',
  sourcePort: 80,
  destinationPort: 1,
});
const OTHER = buildFrame({
  protocol: 'tcp',
  source: '10.0.0.2',
  destination: '10.0.0.1',
  sourcePort: 80,
  destinationPort: 2,
});

function take(workload: Workload, count: number) {
  return Array.from({ length: count }, () => {
    const { dueNs, template } = workload;
    workload.advance();
    return { dueNs, direction: template.direction, template };
  });
}

describe('workload', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-workload-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function capture(packets: Array<[timeUs: number, frame: Uint8Array]>): string {
    const path = join(folder, 'some.pcap');
    writeFileSync(path, writePcap(packets));
    return path;
  }

  it('sends at a fixed rate, the flows in turn', () => {
    const packets = take(prepareWorkload({ kind: 'rate', packetsPerS: 1000, flows: 2 }), 4);
    expect(packets.map(({ dueNs }) => dueNs)).to.deep.equal([0, 1e6, 2e6, 3e6]);
    expect(packets[0]!.template).to.equal(packets[2]!.template).and.not.equal(packets[1]!.template);
  });

  it('makes an answer to each packet, from the other side, with right addresses', () => {
    for (const ipv6Ratio of [0, 1]) {
      const spec = { kind: 'rate', packetsPerS: 1000, flows: 2, bothWays: true, ipv6Ratio } as const;
      const [question, answer] = take(prepareWorkload(spec), 2);
      expect([question!.direction, answer!.direction]).to.deep.equal([0, 1]);
      const [a, b] = [question!, answer!].map(({ template }) => {
        const headers = new Headers();
        expect(parseHeaders(template.frame, template.frame.length, headers)).to.equal(OK);
        return headers;
      });
      expect(a!.tuple.subarray(0, 4)).to.deep.equal(b!.tuple.subarray(4, 8));
      expect(a!.tuple.subarray(4, 8)).to.deep.equal(b!.tuple.subarray(0, 4));
      expect([a!.sourcePort, a!.destinationPort]).to.deep.equal([b!.destinationPort, b!.sourcePort]);
    }
  });

  it('keeps the mean rate of bursty traffic', () => {
    const packets = take(
      prepareWorkload({ kind: 'bursty', packetsPerS: 10_000, onMs: 5, offMs: 15, seed: 3 }),
      200_000,
    );
    expect(packets.at(-1)!.dueNs / 1e9).to.be.within(16, 24);
  });

  it('gives each packet of a capture its side: inside is who spoke first', () => {
    const path = capture([
      [0, SYN],
      [10, ANSWER],
      [20, SYN],
      [30, OTHER],
    ]);
    const packets = take(prepareWorkload({ kind: 'capture', path }), 4);
    expect(packets.map(({ direction }) => direction)).to.deep.equal([0, 1, 0, 0]);
  });

  it('replays a capture at its own pace, faster, or at a fixed rate, and over again', () => {
    const path = capture([
      [0, SYN],
      [10, ANSWER],
      [40, SYN],
    ]);
    const due = (spec: Partial<TrafficSpec>) =>
      take(prepareWorkload({ kind: 'capture', path, ...spec } as TrafficSpec), 4).map(({ dueNs }) => dueNs);
    expect(due({}).slice(0, 3)).to.deep.equal([0, 10_000, 40_000]);
    expect(due({})[3]).to.be.greaterThan(40_000);
    expect(due({ speed: 2 } as object).slice(0, 3)).to.deep.equal([0, 5_000, 20_000]);
    expect(due({ packetsPerS: 1e6 } as object)).to.deep.equal([0, 1000, 2000, 3000]);
  });

  it('lets a workload burst as far as it needs itself, and never without bound', () => {
    const most = (packetsPerS: number) => prepareWorkload({ kind: 'rate', packetsPerS }).burstMax;
    expect(most(10)).to.equal(32);
    expect(most(1_000_000)).to.equal(200);
  });

  it('refuses a capture that cannot be sent, with the packet that is at fault', () => {
    const huge = buildFrame({
      protocol: 'udp',
      source: '10.0.0.1',
      destination: '10.0.0.2',
      payload: new Uint8Array(3000),
    });
    const path = capture([
      [0, SYN],
      [1, huge],
    ]);
    expect(() => prepareWorkload({ kind: 'capture', path }))
      .to.throw('packet 2')
      .with.property('code', 'BAD_CAPTURE');
    expect(() => prepareWorkload({ kind: 'capture', path: join(folder, 'absent') }))
      .to.throw('absent')
      .with.property('code', 'NOT_FOUND');
  });
});
