import { cpus } from 'node:os';
import { expect } from 'chai';
import { HttpLoad } from '../../../bench/http-load.js';
import { createHttpSetup, type HttpSetup, NF_ADDRESS } from '../../../bench/nf/http-setup.js';
import { startNginx } from '../../../bench/nf/nginx.js';
import { ensurePackages } from '../../../src/host/packages.js';
import type { RunningNf } from '../../../src/lab/testbed.js';
import { listPids, processStat } from '../../../src/linux/process.js';
import { letTimePass } from '../../support/waiting.js';
import { harvest } from './harvest.js';

describe('nginx, from its Debian package', function () {
  this.timeout(180_000);
  const core = cpus().length - 1;
  let bed: HttpSetup;
  let nginx: RunningNf;
  let load: HttpLoad;

  before(async function () {
    this.timeout(180_000);
    if (core < 1) this.skip();
    await ensurePackages(['nginx-light']);
    bed = await createHttpSetup();
    nginx = await startNginx(bed, core);
    const url = `http://${NF_ADDRESS}:8080/`;
    load = await HttpLoad.start({ namespace: bed.client, cpu: 0, url, requestsPerS: 500, connections: 8 });
  });
  after(async () => {
    await load?.close();
    await nginx?.close();
    await bed?.close();
  });

  it('answers every request within its SLO while functions take the rest of its core', async function () {
    const worker = listPids().find((pid) => processStat(pid)?.parentPid === nginx.pid)!;
    const { measured, nf, functionsTook, calls, sloHeld, before, after } = await harvest(this, {
      core,
      isNf: ({ pid }) => pid === worker,
      pid: worker,
      measure: async () => {
        await load.take();
        // What is measured is a rate.
        await letTimePass(2_000);
        return load.take();
      },
    });
    expect(nf).to.include({ profile: 'nginx', mode: 'sleep', protection: 'nice:-10' });
    expect(nf.cores).to.deep.equal([core]);
    expect(nf.threads.filter(({ packet }) => packet).map(({ tid }) => tid)).to.deep.equal([worker]);
    expect(measured).to.include({ failed: 0, firstError: null });
    expect(measured.completed).to.be.greaterThan(100);
    expect(calls).to.include({ failed: 0 });
    expect(functionsTook).to.be.greaterThan(0.3);
    expect(nf.busyRatio).to.be.within(0.0001, 0.9);
    expect(nf.latencySource).to.equal('probe');
    expect(nf.p99Us).to.be.greaterThan(0);
    expect(sloHeld).to.equal(true);
    expect(after).to.equal(before);
  });
});
