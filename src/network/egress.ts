/**
 * Lets sandboxes connect to what their functions' allow-lists name, and to nothing else. A sandbox keeps its empty
 * network namespace: no interface, no route, no packet of it ever reaches the host's network stack or its filters.
 * Instead a relay thread of the agent listens *inside* the namespace where the allowed destinations would be, and
 * connects outside, from the housekeeping cores. So egress costs an NF no conntrack, no forwarding and no softirq.
 */

import { Worker } from 'node:worker_threads';
import { asNemoError, NemoError } from '../errors.js';
import { EGRESS } from '../tunables.js';
import { EgressRules } from './egress-rules.js';

/** To the relay thread. */
export type EgressOrder =
  | { order: 'open'; id: string; namespace: string; rules: readonly string[] }
  | { order: 'close'; id: string };

/** From it: the answer to `open`. */
export interface EgressReport {
  id: string;
  error?: string;
}

export class Egress {
  private worker: Worker | undefined;
  private readonly opening = new Map<string, (report: EgressReport) => void>();
  private readonly open = new Set<string>();

  /**
   * Opens the allowed destinations inside the network namespace at `namespace` (a path below /proc) and gives the
   * /etc/hosts that the sandbox needs. SANDBOX_START if that fails; nothing is open then.
   */
  async attach(id: string, namespace: string, rules: readonly string[]): Promise<string> {
    const hosts = new EgressRules(rules).hosts();
    const worker = this.relay();
    this.open.add(id);
    const report = await new Promise<EgressReport>((resolve) => {
      this.opening.set(id, resolve);
      setTimeout(() => resolve({ id, error: 'the relay did not answer' }), EGRESS.attachTimeoutMs).unref();
      worker.postMessage({ order: 'open', id, namespace, rules } satisfies EgressOrder);
    });
    this.opening.delete(id);
    if (report.error === undefined) return hosts;
    this.detach(id);
    throw new NemoError('SANDBOX_START', `the network of ${id} could not be opened: ${report.error}`);
  }

  /** Ends every connection of a sandbox. No effect on one that has none. */
  detach(id: string): void {
    if (!this.open.delete(id)) return;
    this.worker?.postMessage({ order: 'close', id } satisfies EgressOrder);
  }

  async close(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
  }

  /** Started with the first function that needs it; one that died is replaced, its connections are lost. */
  private relay(): Worker {
    if (this.worker !== undefined) return this.worker;
    const worker = new Worker(new URL('./egress-relay.js', import.meta.url));
    const gone = (error: string): void => {
      if (this.worker === worker) this.worker = undefined;
      for (const [id, resolve] of this.opening) resolve({ id, error });
    };
    worker.on('message', (report: EgressReport) => this.opening.get(report.id)?.(report));
    worker.on('error', (thrown) => gone(asNemoError(thrown).message));
    worker.on('exit', () => gone('the relay ended'));
    worker.unref();
    this.worker = worker;
    return worker;
  }
}
