/**
 * Lets sandboxes connect to what their functions' allow-lists name, and to nothing else. A sandbox keeps its empty
 * network namespace: no interface, no route, and none of its packets reaches the host's network stack or its filters.
 * Instead a relay thread of the agent listens *inside* the namespace where the allowed destinations would be, and
 * connects outside, from the housekeeping cores. Its cost: the relay's own work is done there; its packets are ordinary
 * ones of this box, handled where the interrupts of the network card arrive, and tracked if the host tracks its own.
 */

import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { asNemoError, NemoError } from '../model/errors.js';
import { EGRESS } from '../tunables/index.js';
import { EgressRules } from './egress-rules.js';
import type { NetworkManager, NetworkRequest } from './network-manager.js';

/** To the relay thread. `namespace` is a descriptor, which the thread closes. */
export type EgressOrder =
  | {
      order: 'open';
      id: string;
      functionKey: string;
      namespace: number;
      rules: readonly string[];
      allow: readonly string[];
    }
  | { order: 'close'; id: string };

/** From it: the answer to `open`, or with `refused` what a function tried in vain. */
export interface EgressReport {
  id: string;
  error?: string;
  refused?: string;
}

export class Egress implements NetworkManager {
  private worker: Worker | undefined;
  private readonly opening = new Map<string, (report: EgressReport) => void>();
  private readonly open = new Map<string, NetworkRequest>();

  /** `allow`: rules of the operator, for addresses that are barred otherwise (see `blocked-addresses.ts`). */
  constructor(private readonly allow: readonly string[] = []) {}

  async attach(request: NetworkRequest): Promise<string> {
    const { id, functionKey, namespace, rules } = request;
    let hosts: string;
    let worker: Worker;
    try {
      hosts = new EgressRules(rules).hosts();
      worker = this.relay();
    } catch (thrown) {
      closeSync(namespace);
      throw thrown;
    }
    this.open.set(id, request);
    const { allow } = this;
    const report = await new Promise<EgressReport>((resolve) => {
      this.opening.set(id, resolve);
      setTimeout(() => resolve({ id, error: 'the relay did not answer' }), EGRESS.attachTimeoutMs).unref();
      const order: EgressOrder = { order: 'open', id, functionKey, namespace, rules, allow };
      worker.postMessage(order);
    });
    this.opening.delete(id);
    if (report.error === undefined) return hosts;
    this.detach(id);
    throw new NemoError('SANDBOX_START', `the network of ${id} could not be opened: ${report.error}`);
  }

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
    worker.on('message', (report: EgressReport) => {
      const { id, refused } = report;
      if (refused !== undefined) this.open.get(id)?.onRefused?.(refused);
      else this.opening.get(id)?.(report);
    });
    worker.on('error', (thrown) => gone(asNemoError(thrown).message));
    worker.on('exit', () => gone('the relay ended'));
    worker.unref();
    this.worker = worker;
    return worker;
  }
}
