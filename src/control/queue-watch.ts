/**
 * The sensors in front of an NF: backlog and drops of its core, its interfaces, its sockets and itself, stalls on memory.
 * They are read in turn, so that a tick reads one file at most; what a sensor found holds until its next turn.
 */

import { InterfaceDrops, SocketQueues, SoftnetStat } from '../linux/net-counters.js';
import { Pressure } from '../linux/procfs.js';
import type { QueueStats } from '../model/feed.js';
import { LEADING_COUNTERS, LeadingSigns, queueIsLong } from '../policy/conflict/leading.js';
import { CONTROL } from '../tunables/index.js';
import type { ControlNf } from './messages.js';

const TURNS = 4;

export class QueueWatch {
  /** What is wrong now, as a message; undefined while nothing is. */
  sign: string | undefined;
  private readonly signs = new LeadingSigns();
  private readonly found: Array<string | undefined> = new Array(TURNS).fill(undefined);
  private readonly softnet: SoftnetStat[];
  private readonly interfaces: InterfaceDrops;
  private readonly sockets: SocketQueues | undefined;
  private readonly memory = Pressure.open('/proc/pressure/memory');
  private ticks = 0;
  private turn = 0;
  private ranSince: boolean[] = new Array(TURNS).fill(false);

  constructor(nf: ControlNf) {
    this.softnet = nf.cores.map((core) => new SoftnetStat(core));
    this.interfaces = new InterfaceDrops(nf.pid);
    const inodes = new Set(nf.socketInodes ?? []);
    this.sockets = inodes.size === 0 ? undefined : new SocketQueues(nf.pid, inodes);
  }

  /**
   * Once a tick. `missed`: packets that found no room in the NF's own ring so far, where it tells. `nfDrops`: what its
   * telemetry says that it dropped so far, for want of room; NaN if it does not tell. That comes twice a second.
   */
  tick(functionsRan: boolean, missed: number, nfDrops: number): void {
    if (functionsRan) this.ranSince.fill(true);
    if (++this.ticks % CONTROL.queueTicks !== 0) return;
    this.turn = (this.turn + 1) % TURNS;
    this.found[this.turn] = this.sample(this.turn, this.ranSince[this.turn]!, missed, nfDrops);
    this.ranSince[this.turn] = false;
    this.sign = this.found[0] ?? this.found[1] ?? this.found[2] ?? this.found[3];
  }

  private sample(turn: number, ran: boolean, missed: number, nfDrops: number): string | undefined {
    switch (turn) {
      case 0: {
        let dropped = 0;
        let squeezed = 0;
        for (let i = 0; i < this.softnet.length; i++) {
          const core = this.softnet[i]!;
          core.read();
          dropped += core.dropped;
          squeezed += core.squeezed;
        }
        return this.judge(0, dropped, ran) ?? this.judge(1, squeezed, ran);
      }
      case 1:
        return this.interfaces.read() ? this.judge(2, this.interfaces.dropped, ran) : undefined;
      case 2: {
        const { sockets } = this;
        sockets?.read();
        const full = this.judge(3, missed + (sockets?.dropped ?? 0), ran);
        const sign = this.judge(5, nfDrops, ran) ?? full;
        if (sign !== undefined || sockets === undefined || !ran) return sign;
        return queueIsLong(sockets.udpBytes, sockets.connections)
          ? 'long queues at the sockets of the NF'
          : undefined;
      }
      default:
        return this.memory?.read() ? this.judge(4, this.memory.someTotalUs / 1000, ran) : undefined;
    }
  }

  private judge(index: number, value: number, ran: boolean): string | undefined {
    return this.signs.observe(index, value, ran) ? LEADING_COUNTERS[index] : undefined;
  }

  stats(): QueueStats {
    const [backlogDrops, squeezes, interfaceDrops, socketDrops, memoryStallMs] = this.signs.totals;
    return {
      backlogDrops: backlogDrops!,
      squeezes: squeezes!,
      interfaceDrops: interfaceDrops!,
      socketDrops: socketDrops!,
      memoryStallMs: memoryStallMs!,
      sign: this.sign ?? null,
    };
  }

  close(): void {
    for (const core of this.softnet) core.close();
    this.interfaces.close();
    this.sockets?.close();
    this.memory?.close();
  }
}
