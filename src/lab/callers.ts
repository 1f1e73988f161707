/** Callers of functions over HTTP keep-alive connections: closed loops, open arrivals, and single probes of a start. */

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { Client, type Dispatcher, Pool } from 'undici';

export interface CallerFigures {
  completed: number;
  failed: number;
  latencyNs: RecordableHistogram;
  starts: Record<string, number>;
  /** Request to first byte of the first call ever of each function, milliseconds. */
  firstStartsMs: number[];
  firstError: string | undefined;
}

export interface Arrival {
  /** Since the start. */
  atMs: number;
  path: string;
}

/** Answers may wait in a queue: that is no failure. */
const PATIENCE = { bodyTimeout: 120_000, headersTimeout: 120_000 };
/** Calls of an open arrival process that may wait at once. */
const OPEN_CONNECTIONS = 128;

export class Callers {
  private figures = Callers.empty();
  private running = false;
  private readonly loops: Promise<unknown>[] = [];
  private readonly clients: Array<Client | Pool> = [];
  private readonly called = new Set<string>();

  constructor(
    private readonly agentUrl: string,
    private readonly count = 0,
  ) {}

  private static empty(): CallerFigures {
    return {
      completed: 0,
      failed: 0,
      latencyNs: createHistogram({ lowest: 1, highest: 600e9, figures: 3 }),
      starts: { cold: 0, stem: 0, warm: 0 },
      firstStartsMs: [],
      firstError: undefined,
    };
  }

  /** Each caller calls `path` again as soon as it has its answer, until `stop`. */
  start(path: string, count = this.count): void {
    this.running = true;
    for (let i = 0; i < count; i++) {
      const client = new Client(this.agentUrl, { pipelining: 1, ...PATIENCE });
      this.clients.push(client);
      this.loops.push(this.loop(client, path));
    }
  }

  /** Calls at the times given, whether or not earlier calls were answered: latency counts from the intended time. */
  startOpen(arrivals: Iterator<Arrival>): void {
    this.running = true;
    const pool = new Pool(this.agentUrl, { connections: OPEN_CONNECTIONS, pipelining: 1, ...PATIENCE });
    this.clients.push(pool);
    this.loops.push(this.arrive(pool, arrivals));
  }

  private async loop(client: Client, path: string): Promise<void> {
    while (this.running) {
      // A dead agent must not be hammered.
      if (!(await this.call(client, path, performance.now())))
        await new Promise((done) => setTimeout(done, 20));
    }
  }

  private async arrive(pool: Pool, arrivals: Iterator<Arrival>): Promise<void> {
    const from = performance.now();
    for (let next = arrivals.next(); !next.done && this.running; next = arrivals.next()) {
      const { atMs, path } = next.value;
      const waitMs = from + atMs - performance.now();
      if (waitMs > 0) await new Promise((done) => setTimeout(done, waitMs));
      if (this.running) this.loops.push(this.call(pool, path, from + atMs));
    }
  }

  private async call(client: Dispatcher, path: string, fromMs: number): Promise<boolean> {
    const name = path.split('?')[0]!;
    const first = !this.called.has(name);
    this.called.add(name);
    try {
      const reply = await client.request({ origin: this.agentUrl, path, method: 'GET' });
      const { figures } = this;
      if (!first) await reply.body.dump();
      else {
        // The headers alone may be ahead of the function: its first byte is not.
        let startMs: number | undefined;
        for await (const _ of reply.body) startMs ??= performance.now() - fromMs;
        if (startMs !== undefined && reply.statusCode === 200) figures.firstStartsMs.push(startMs);
      }
      if (reply.statusCode !== 200) {
        this.fault(`HTTP ${reply.statusCode}`);
        return false;
      }
      figures.completed++;
      figures.latencyNs.record(Math.max(1, Math.round((performance.now() - fromMs) * 1e6)));
      const start = String(reply.headers['x-nemo-start'] ?? 'warm');
      figures.starts[start] = (figures.starts[start] ?? 0) + 1;
      return true;
    } catch (thrown) {
      if (this.running) this.fault(String(thrown));
      return false;
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

  /** Gives up what is not answered yet. */
  async stop(): Promise<void> {
    this.running = false;
    await Promise.allSettled(this.clients.map((client) => client.destroy()));
    await Promise.allSettled(this.loops);
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
