/**
 * Two namespaces with addresses, for NFs that end TCP connections:
 *
 *   client, backend server                NF
 *   g0 10.77.0.1/24 ---------------- n0 10.77.0.2/24
 *   r0 10.78.0.1/24 ---------------- n1 10.78.0.2/24
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createNamespace, type Namespace } from '../../src/linux/netns.js';

export const NF_ADDRESS = '10.77.0.2';
export const BACKEND_ADDRESS = '10.78.0.1';

export interface HttpSetup {
  client: Namespace;
  nf: Namespace;
  /** For the NF's files; goes with the bed. */
  folder: string;
  close(): Promise<void>;
}

export async function createHttpSetup(): Promise<HttpSetup> {
  const client = await createNamespace();
  const nf = await createNamespace();
  await connect(client, 'g0', nf, 'n0');
  await connect(client, 'r0', nf, 'n1');
  const address = async (namespace: Namespace, name: string, ip: string) => {
    await namespace.run('ip', ['address', 'add', ip, 'dev', name]);
    // Test beds for raw frames have none; here the kernel has to find its peer.
    await namespace.run('ip', ['link', 'set', name, 'arp', 'on']);
  };
  await address(client, 'g0', '10.77.0.1/24');
  await address(nf, 'n0', `${NF_ADDRESS}/24`);
  await address(client, 'r0', `${BACKEND_ADDRESS}/24`);
  await address(nf, 'n1', '10.78.0.2/24');
  const folder = mkdtempSync(join(tmpdir(), 'nemo-real-nf-'));
  return {
    client,
    nf,
    folder,
    close: async () => {
      await Promise.all([client.close(), nf.close()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
