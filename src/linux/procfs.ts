/**
 * Readers for procfs that a 1 kHz loop can afford: the file stays open, reading allocates nothing, results are
 * fields of the reader. The kernel updates run time at ticks and context switches: the figures of a thread that
 * is running right now may be one tick (1 to 4 ms) old.
 */

import { existsSync } from 'node:fs';
import { KeptFile } from './kept-file.js';

/** CPU time and run-queue delay of one thread, from /proc/<pid>/task/<tid>/schedstat. */
export class ThreadStat {
  /** Time on a CPU since the thread started, nanoseconds. */
  runNs = 0;
  /** Time spent runnable but waiting for a CPU, nanoseconds. */
  waitNs = 0;
  /** Times it was put on a CPU. */
  slices = 0;
  private readonly file: KeptFile;

  constructor(pid: number, tid: number) {
    this.file = new KeptFile(`/proc/${pid}/task/${tid}/schedstat`, 'r', 96);
  }

  /** False once the thread is gone; the fields then keep their last values. */
  read(): boolean {
    if (this.file.read() <= 0) return false;
    this.runNs = this.file.nextNumber();
    this.waitNs = this.file.nextNumber();
    this.slices = this.file.nextNumber();
    return true;
  }

  close(): void {
    this.file.close();
  }
}

/** Columns of a CPU in `CpuStat.ticks`, in the order of /proc/stat. */
export const Tick = {
  user: 0,
  nice: 1,
  system: 2,
  idle: 3,
  iowait: 4,
  irq: 5,
  softirq: 6,
  steal: 7,
} as const;

const TICK_FIELDS = 8;
/** Ten columns of up to 20 digits; a shorter buffer would cut the last CPU off. */
const LINE_MAX_BYTES = 220;

/** Ticks (1/100 s) per CPU from /proc/stat; an offline CPU keeps its last values. */
export class CpuStat {
  /** `ticks[cpu * 8 + Tick.x]`. */
  readonly ticks: Float64Array;
  private readonly cpus: number;
  private readonly file: KeptFile;

  /** `cpus`: highest CPU number + 1. */
  constructor(cpus: number) {
    this.cpus = cpus;
    this.ticks = new Float64Array(cpus * TICK_FIELDS);
    this.file = new KeptFile('/proc/stat', 'r', (cpus + 1) * LINE_MAX_BYTES);
  }

  read(): void {
    const { file, ticks } = this;
    file.read();
    const bytes = file.bytes;
    // The first line sums all CPUs; then come "cpu<N> ..." lines, then others.
    while (file.nextLine() && bytes[file.at] === 0x63 /* c */ && bytes[file.at + 1] === 0x70 /* p */) {
      const cpu = file.nextNumber();
      if (cpu >= this.cpus) continue;
      for (let field = 0; field < TICK_FIELDS; field++) ticks[cpu * TICK_FIELDS + field] = file.nextNumber();
    }
  }

  get(cpu: number, field: (typeof Tick)[keyof typeof Tick]): number {
    return this.ticks[cpu * TICK_FIELDS + field]!;
  }

  close(): void {
    this.file.close();
  }
}

/**
 * Pressure stall information, https://docs.kernel.org/accounting/psi.html. `some`: time in which at least one task
 * was stalled; `full`: time in which all were.
 */
export class Pressure {
  someAvg10Percent = 0;
  someTotalUs = 0;
  fullTotalUs = 0;
  private readonly file: KeptFile;

  private constructor(path: string) {
    this.file = new KeptFile(path, 'r', 256);
  }

  /** `path`: /proc/pressure/{cpu,memory,io} or a v2 group's `cpu.pressure`. Undefined on a kernel without PSI. */
  static open(path: string): Pressure | undefined {
    if (!existsSync(path)) return undefined;
    const pressure = new Pressure(path);
    if (pressure.read()) return pressure;
    pressure.close();
    return undefined;
  }

  /** False if the kernel gave nothing (PSI switched off at boot, or the group is gone). */
  read(): boolean {
    const { file } = this;
    if (file.read() <= 0) return false;
    this.someAvg10Percent = this.average();
    this.someTotalUs = this.totalUs();
    if (file.nextLine()) {
      this.average();
      this.fullTotalUs = this.totalUs();
    }
    return true;
  }

  close(): void {
    this.file.close();
  }

  /** "avg10=1.25": the digits of the name, then both sides of the dot. */
  private average(): number {
    this.file.nextNumber();
    const whole = this.file.nextNumber();
    return whole + this.file.nextNumber() / 100;
  }

  /** After avg10 come "avg60=0.00 avg300=0.00 total=<us>". */
  private totalUs(): number {
    this.average();
    this.average();
    return this.file.nextNumber();
  }
}
