/** One slice gate for each core on which an NF polls that cannot be asked to sleep, and which sandboxes are there. */

import type { CgroupHandle } from '../linux/cgroup/driver.js';
import { Gate, type GateOptions, tasksPath } from './gate.js';
import type { ControlNf } from './messages.js';

export interface GateEvent {
  core: number;
  /** Undefined: it works. Else why it does not; the core is then not harvested. */
  failure: string | undefined;
}

export class Gates {
  private readonly gates = new Map<number, Gate>();
  private readonly ending = new Set<Promise<void>>();
  private readonly placed = new Map<number, { core: number; tasksPath: string }>();

  constructor(
    private readonly shared: Pick<GateOptions, 'donorCore' | 'board' | 'slots'>,
    private readonly say: (event: GateEvent) => void,
  ) {}

  setNfs(nfs: readonly ControlNf[]): void {
    const wanted = new Map<number, number>();
    for (const nf of nfs) if (nf.gate) for (const core of nf.cores) wanted.set(core, nf.pid);
    for (const [core, gate] of this.gates) {
      if (wanted.get(core) === gate.options.nfPid) continue;
      this.gates.delete(core);
      const ended = gate.stop().finally(() => this.ending.delete(ended));
      this.ending.add(ended);
    }
    for (const [core, nfPid] of wanted) if (!this.gates.has(core)) this.open(core, nfPid);
  }

  place(slot: number, core: number, handle: CgroupHandle): void {
    this.placed.set(slot, { core, tasksPath: tasksPath(handle) });
    this.tell(core);
  }

  move(slot: number, core: number): void {
    const place = this.placed.get(slot);
    if (place === undefined) return;
    const from = place.core;
    place.core = core;
    this.tell(from);
    this.tell(core);
  }

  remove(slot: number): void {
    const place = this.placed.get(slot);
    this.placed.delete(slot);
    if (place !== undefined) this.tell(place.core);
  }

  async stop(): Promise<void> {
    this.setNfs([]);
    await Promise.all(this.ending);
  }

  private open(core: number, nfPid: number): void {
    const gate = new Gate({ ...this.shared, core, nfPid });
    gate.on('ready', () => this.say({ core, failure: undefined }));
    gate.on('failed', (failure) => this.say({ core, failure }));
    this.gates.set(core, gate);
    this.tell(core);
  }

  private tell(core: number): void {
    const here = [...this.placed].filter(([, place]) => place.core === core);
    this.gates.get(core)?.setSandboxes(here.map(([slot, place]) => ({ slot, tasksPath: place.tasksPath })));
  }
}
