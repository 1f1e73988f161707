import { cpus } from 'node:os';
import { expect } from 'chai';
import { HttpLoad } from '../../../bench/http-load.js';
import { startHaproxy } from '../../../bench/nf/haproxy.js';
import {
  BACKEND_ADDRESS,
  createHttpSetup,
  type HttpSetup,
  NF_ADDRESS,
} from '../../../bench/nf/http-setup.js';
import { ensurePackages } from '../../../src/host/packages.js';
import type { RunningNf } from '../../../src/lab/testbed.js';
import { letTimePass } from '../../support/waiting.js';
import { harvest } from './harvest.js';

describe('haproxy, from its Debian package', function () {
  this.timeout(180_000);
  const core = cpus().length - 1;
  let bed: HttpSetup;
  let haproxy: RunningNf;
  let load: HttpLoad;

  before(async function () {
    this.timeout(180_000);
    if (core < 1) this.skip();
    await ensurePackages(['haproxy']);
    bed = await createHttpSetup();
    haproxy = await startHaproxy(bed, core);
    load = await HttpLoad.start({
      namespace: bed.client,
      cpu: 0,
      url: `http://${NF_ADDRESS}:8080/`,
      requestsPerS: 500,
      connections: 8,
      backend: { host: BACKEND_ADDRESS, port: 8000 },
    });
  });
  after(async () => {
    await load?.close();
    await haproxy?.close();
    await bed?.close();
  });

  it('passes every request on within its SLO while functions take the rest of its core', async function () {
    const { measured, nf, functionsTook, calls, sloHeld, before, after } = await harvest(this, {
      core,
      isNf: ({ pid }) => pid === haproxy.pid,
      pid: haproxy.pid,
      measure: async () => {
        await load.take();
        // What is measured is a rate.
        await letTimePass(2_000);
        return load.take();
      },
    });
    expect(nf).to.include({
      profile: 'haproxy',
      mode: 'sleep',
      latencySource: 'probe',
      protection: 'nice:-10',
    });
    expect(nf.cores).to.deep.equal([core]);
    expect(measured).to.include({ failed: 0, firstError: null });
    expect(measured.completed).to.be.greaterThan(100);
    expect(calls).to.include({ failed: 0 });
    expect(functionsTook).to.be.greaterThan(0.3);
    expect(nf.p99Us).to.be.greaterThan(0);
    expect(sloHeld).to.equal(true);
    expect(after).to.equal(before);
  });
});
