import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { expect } from 'chai';
import { endProcess } from '../../src/linux/tied-process.js';
import { NemoError } from '../../src/model/errors.js';
import {
  PacketCounter,
  SHARED_LATENCY_BYTES,
  SharedLatencyReader,
  SharedLatencyWriter,
  sharedLatencyPath,
  sweepSharedLatency,
} from '../../src/packet/shared-latency.js';

describe('latency shared between processes', () => {
  let writer: SharedLatencyWriter;
  beforeEach(() => {
    writer = SharedLatencyWriter.create();
  });
  afterEach(() => writer.close());
  const refused = (words: RegExp, code = 'BAD_REQUEST') =>
    expect(() => new SharedLatencyReader(process.pid))
      .to.throw(NemoError, words)
      .with.property('code', code);

  it('what the writer counts, the reader reads', () => {
    const reader = new SharedLatencyReader(process.pid);
    try {
      writer.buckets.record(5);
      writer.buckets.record(5);
      writer.counters[PacketCounter.received] = 2;
      writer.counters[PacketCounter.errors] = 1;
      expect(reader.read()).to.equal(undefined);
      expect(reader.counts[5]).to.equal(2);
      expect([...reader.counters]).to.deep.equal([2, 0, 0, 1, 0]);
    } finally {
      reader.close();
    }
  });

  it('the file is for root alone, whole from the first moment, and goes with the writer', () => {
    const stat = statSync(writer.path);
    expect(stat.mode & 0o777).to.equal(0o600);
    expect(stat.size).to.equal(SHARED_LATENCY_BYTES);
    writer.close();
    expect(existsSync(sharedLatencyPath(process.pid))).to.equal(false);
    refused(/is not there/, 'NOT_FOUND');
    writer = SharedLatencyWriter.create();
  });

  it('a file that is cut while it is read is reported, and kills nobody', () => {
    const reader = new SharedLatencyReader(process.pid);
    truncateSync(writer.path, 100);
    expect(reader.read()).to.match(/too short/);
    reader.close();
    refused(/too short/);
    truncateSync(writer.path, SHARED_LATENCY_BYTES);
  });

  it('files that somebody else may have made are refused', () => {
    chownSync(writer.path, 65534, 65534);
    refused(/belongs to user 65534/);
    chownSync(writer.path, 0, 0);
    chmodSync(writer.path, 0o666);
    refused(/others than its owner may write/);
    rmSync(writer.path);
    symlinkSync('/etc/passwd', writer.path);
    refused(/symbolic link/);
  });

  it('a file with a foreign header is refused', () => {
    rmSync(writer.path);
    writeFileSync(writer.path, Buffer.alloc(SHARED_LATENCY_BYTES), { mode: 0o600 });
    refused(/magic/);
    const header = new Uint32Array([0x544c4d4e, 1, process.pid + 1, 528]);
    writeFileSync(
      writer.path,
      Buffer.concat([Buffer.from(header.buffer), Buffer.alloc(SHARED_LATENCY_BYTES)]),
    );
    refused(new RegExp(`names process ${process.pid + 1}`));
  });

  it('what a killed NF left is swept, what a live one has stays', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    const path = sharedLatencyPath(child.pid!);
    writeFileSync(path, '');
    sweepSharedLatency();
    expect(existsSync(path)).to.equal(true);
    await endProcess(child);
    sweepSharedLatency();
    expect(existsSync(path)).to.equal(false);
    expect(existsSync(writer.path)).to.equal(true);
  });
});
