/** Closed-loop callers of functions over HTTP keep-alive connections, and single probes of a start. */

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { Client } from 'undici';

export interface CallerFigures {
  completed: number;
  failed: number;
  latencyNs: RecordableHistogram;
  starts: Record<string, number>;
  firstError: string | undefined;
}

export class Callers {
  private figures = Callers.empty();
  private running = false;
  private loops: Promise<void>[] = [];
  private readonly clients: Client[] = [];

  constructor(
    private readonly agentUrl: string,
    private readonly count: number,
  ) {}

  private static empty(): CallerFigures {
    return {
      completed: 0,
      failed: 0,
      latencyNs: createHistogram({ lowest: 1, highest: 600e9, figures: 3 }),
      starts: { cold: 0, stem: 0, warm: 0 },
      firstError: undefined,
    };
  }

  /** Each caller calls `path` again as soon as it has its answer, until `stop`. */
  start(path: string): void {
    this.running = true;
    for (let i = 0; i < this.count; i++) {
      const client = new Client(this.agentUrl, {
        pipelining: 1,
        bodyTimeout: 120_000,
        headersTimeout: 120_000,
      });
      this.clients.push(client);
      this.loops.push(this.loop(client, path));
    }
  }

  private async loop(client: Client, path: string): Promise<void> {
    while (this.running) {
      const from = performance.now();
      try {
        const reply = await client.request({ path, method: 'GET' });
        await reply.body.dump();
        const figures = this.figures;
        if (reply.statusCode === 200) {
          figures.completed++;
          figures.latencyNs.record(Math.max(1, Math.round((performance.now() - from) * 1e6)));
          const start = String(reply.headers['x-nemo-start'] ?? 'warm');
          figures.starts[start] = (figures.starts[start] ?? 0) + 1;
        } else this.fault(`HTTP ${reply.statusCode}`);
      } catch (thrown) {
        if (!this.running) return;
        this.fault(String(thrown));
        // A dead agent must not be hammered.
        await new Promise((done) => setTimeout(done, 20));
      }
    }
  }

  private fault(message: string): void {
    this.figures.failed++;
    this.figures.firstError ??= message;
  }

  /** Figures since the last `take`, and a fresh set. */
  take(): CallerFigures {
    const taken = this.figures;
    this.figures = Callers.empty();
    return taken;
  }

  async stop(): Promise<void> {
    this.running = false;
    await Promise.allSettled(this.loops);
    await Promise.allSettled(this.clients.map((client) => client.destroy()));
  }
}

/** One call: milliseconds from the request to the first byte of the answer, and how it started; null if it failed. */
export async function timeFirstByte(
  client: Client,
  path: string,
): Promise<{ firstByteMs: number; kind: string } | null> {
  const from = performance.now();
  try {
    const reply = await client.request({ path, method: 'GET' });
    const firstByteMs = performance.now() - from;
    await reply.body.dump();
    if (reply.statusCode !== 200) return null;
    return { firstByteMs, kind: String(reply.headers['x-nemo-start']) };
  } catch {
    return null;
  }
}
