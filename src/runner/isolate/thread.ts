/**
 * A worker thread that is a sandbox: connects to the agent by itself, so that a call takes no way through another
 * thread, keeps an eye on its memory, and serves one function.
 */

import { readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { workerData } from 'node:worker_threads';
import { EMPTY, FrameType } from '../frames.js';
import type { Outlet } from '../reply.js';
import { type LoadMeta, serve } from '../serve.js';
import { replaceCloning } from './cloning.js';
import { makeGlobals, type OwnGlobals, trimGlobals } from './globals.js';
import { linkTo, type ThreadLink } from './link.js';
import { lockLanguage, lockPorts, privatize } from './lockdown.js';

/** Memory is looked at after a call, at most this often; buffers are not in V8's own limit. */
const LOOK_MS = 20;
const TOLD_STEP_KIB = 256;
const EXIT_OOM = 72;
/** A link to /proc/thread-self/status: of /proc itself node's permission model lets nothing be read here. */
const OWN_STATUS = '/runner/thread';

const exit = process.exit.bind(process);
const heap = getHeapStatistics;
const now = performance.now.bind(performance);
const collect = (globalThis as { gc?: () => void }).gc;

export interface ThreadProgram {
  /** What the code's handler is. `own`: what stands in the place of the globals that were taken away. */
  evaluate(meta: LoadMeta, code: Buffer, own: OwnGlobals): Promise<unknown>;
  raw?: boolean;
  /** It holds several functions, whose memory is bounded one by one. */
  several?: boolean;
  /** What the function at hand holds, where its isolate does not tell. */
  heldBytes?: () => number;
}

export function runThread(program: ThreadProgram): void {
  const { token, socketPath } = workerData as { token: string; socketPath: string };
  // Which thread this is, for the agent to give it its group.
  const thread = Number(/^Pid:\s*(\d+)/m.exec(readFileSync(OWN_STATUS, 'latin1'))?.[1]);
  let out!: Outlet;
  let link!: ThreadLink;
  const own = makeGlobals(
    () => out,
    () => link.unsentBytes(),
    exit,
  );
  linkTo(
    socketPath,
    () => exit(1),
    (connected) => {
      link = connected;
      replaceCloning();
      trimGlobals(own);
      lockLanguage();
      lockPorts();
      privatize(process);
      begin();
    },
  );

  function begin(): void {
    let memory!: MemoryWatch;
    let collected = false;
    serve(link, {
      async evaluate(meta, code) {
        if (!program.several) {
          Object.assign((own.process as { env: object }).env, meta.env);
          memory.maxBytes = meta.memoryBytes;
        }
        const exported = await program.evaluate(meta, code, own);
        memory.look();
        return exported;
      },
      raw: () => program.raw === true,
      several: program.several === true,
      printError: own.printError,
      exit,
      hello: { token, thread },
      onOutlet: (outlet) => {
        out = outlet;
        memory = new MemoryWatch(outlet, own, program.heldBytes ?? isolateBytes);
      },
      // What starting and the rehearsal left behind is a third of a stem's memory.
      onForget() {
        if (!collected) collect?.();
        collected = true;
      },
    });
  }
}

function isolateBytes(): number {
  const { total_physical_size, external_memory, malloced_memory } = heap();
  return total_physical_size + external_memory + malloced_memory;
}

class MemoryWatch {
  maxBytes = Number.POSITIVE_INFINITY;
  private lookedMs = 0;
  private toldKib = 0;
  private readonly add: Outlet['writer']['add'];

  constructor(
    { writer }: Outlet,
    private readonly own: OwnGlobals,
    private readonly held: () => number,
  ) {
    const add = writer.add.bind(writer);
    this.add = add;
    // With the answer of a call, so that it costs no write of its own.
    writer.add = (type, ...rest) => {
      add(type, ...rest);
      if (type !== FrameType.log && now() - this.lookedMs > LOOK_MS) this.look();
    };
  }

  look(): void {
    this.lookedMs = now();
    const bytes = this.held();
    if (bytes > this.maxBytes) {
      this.own.printError(`the isolate holds ${bytes} bytes, more than its limit of ${this.maxBytes}\n`);
      exit(EXIT_OOM);
    }
    const kib = Math.round(bytes / 1024);
    if (Math.abs(kib - this.toldKib) < TOLD_STEP_KIB) return;
    this.toldKib = kib;
    this.add(FrameType.memory, 0, 0, 0, kib, '', EMPTY);
  }
}
