/** Boundary: the command line. Attacker: what answers at the address of the agent, and is none. */

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { AgentClient } from '../../src/cli/client.js';
import { sendImage } from '../../src/cli/send-image.js';
import { errorOf } from '../support/sandboxes.js';

describe('escape: an agent that is none', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nemo-no-agent-'));
  const image = join(folder, 'image.tar');
  let server: Server;
  let begun: object;
  let parts = 0;
  before(async () => {
    writeFileSync(image, 'x'.repeat(1_000));
    server = createServer((request, response) => {
      if (request.method === 'PATCH' && ++parts > 3) response.statusCode = 500;
      response.end(JSON.stringify(begun));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  for (const partMaxBytes of [0, -1, 0.5, 1e300, 2 ** 40, '1', null, undefined]) {
    it(`that takes parts of ${partMaxBytes} bytes gets no image`, async () => {
      parts = 0;
      begun = { id: 'a', image: 'upload:a', partMaxBytes };
      const { port } = server.address() as AddressInfo;
      const error = await errorOf(sendImage(new AgentClient(`127.0.0.1:${port}`), image));
      expect(error.code).to.equal('AGENT_UNREACHABLE');
      expect(error.message).to.contain('parts');
      expect(parts).to.equal(0);
    });
  }
});
