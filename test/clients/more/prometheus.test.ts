/** Prometheus itself: it parses what an agent tells, and scrapes it. */

import { expect } from 'chai';
import { ensurePackages } from '../../../src/host/packages.js';
import { RealAgent } from '../../support/real-agent.js';
import { output, run } from '../run-client.js';

describe('clients: Prometheus', function () {
  this.timeout(180_000);
  const agent = new RealAgent({ policy: 'naive' });
  before(async () => {
    await ensurePackages(['prometheus']);
    await agent.start();
    await agent.deploy('echo', 'export default (event) => event;');
    await agent.call('echo', 'once');
  });
  after(() => agent.close());

  it('takes every metric for what it is', async () => {
    const told = await output('curl', ['-sS', '--fail', '--compressed', `${agent.url}/metrics`]);
    const { err, code } = await run('promtool', ['check', 'metrics'], told);
    // It also has opinions on names; what it cannot parse ends with 1.
    expect(code, err).to.be.oneOf([0, 3]);
    expect(told.toString()).to.contain('nemo_function_invocations_total{function="echo",outcome="ok"} 1');
  });
});
