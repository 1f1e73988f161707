/** Report: TRACE counts as the function's fault. */

import { expect } from 'chai';
import { ask } from '../gateway/http-client.js';
import { echo, startBox } from '../gateway/in-process-platform.js';

describe('report: TRACE of a function', () => {
  it('is 405 with what is allowed, calls nothing and is not counted', async () => {
    const box = await startBox();
    await box.serve('traced', echo);
    const url = `${box.gateway.url}/function/traced`;
    expect((await ask(url)).status).to.equal(200);
    const answer = await ask(url, { method: 'TRACE' });
    expect(answer.status).to.equal(405);
    expect(answer.headers.allow).to.equal('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
    const counts = (await ask(`${box.gateway.url}/metrics`)).body
      .toString()
      .match(/^.*"traced".*outcome.*$/gm);
    expect(counts).to.deep.equal(['nemo_function_invocations_total{function="traced",outcome="ok"} 1']);
    await box.close();
  });
});
