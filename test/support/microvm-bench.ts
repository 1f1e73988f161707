/**
 * A `microvm` engine with cgroups and folders of its own. The kernel is fetched once for all test runs of a machine, and
 * the files of one run share what is kept of booted machines: it takes 8 s to make.
 */

import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MicrovmEngine, type MicrovmEngineOptions } from '../../src/engine/microvm/engine.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { LoadOptions, Sandbox, StartOptions } from '../../src/sandbox/engine.js';
import { DEFAULT_STORES } from '../../src/snapshots/stores.js';
import { confinedIn, type LogEntry } from './sandboxes.js';

const STATE_DIR = mkdtempSync('/var/tmp/nemo-test-microvm-state-');
process.once('exit', () => rmSync(STATE_DIR, { recursive: true, force: true }));

const MEMORY_BYTES = 128 * 2 ** 20;
let benches = 0;

export class MicrovmBench {
  readonly directory = mkdtempSync('/var/tmp/nemo-test-microvm-');
  readonly stateDir = STATE_DIR;
  readonly driver: CgroupDriver;
  readonly logs: LogEntry[] = [];
  readonly notes: string[] = [];
  private readonly onNotes = new Set<() => void>();
  private count = 0;

  constructor(private readonly kernel: string) {
    chmodSync(this.directory, 0o755);
    this.driver = openCgroupDriver({ rootName: `nemo-test-vm-${process.pid}-${benches++}`, idle: false });
  }

  engine(options: Partial<MicrovmEngineOptions> = {}): MicrovmEngine {
    return new MicrovmEngine({
      directory: join(this.directory, `run-${benches++}`),
      stateDir: this.stateDir,
      driver: this.driver,
      confined: confinedIn(this.directory, this.driver),
      housekeepingCores: [0],
      accelerator: 'tcg',
      kernel: this.kernel,
      stores: DEFAULT_STORES,
      onNote: (line) => {
        this.notes.push(line);
        for (const look of this.onNotes) look();
      },
      ...options,
    });
  }

  /** The first note from the `from`th on that matches; waits for it. */
  note(pattern: RegExp, from: number): Promise<string> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.notes.slice(from).find((line) => pattern.test(line));
        if (found === undefined) return;
        this.onNotes.delete(look);
        resolve(found);
      };
      this.onNotes.add(look);
      look();
    });
  }

  async close(): Promise<void> {
    await this.driver.removeAll();
    rmSync(this.directory, { recursive: true, force: true });
  }

  start(engine: MicrovmEngine, options: Partial<StartOptions> = {}): Promise<Sandbox> {
    const id = `sb-${this.count++}`;
    const cgroup = this.driver.create(id, { memoryMaxBytes: MEMORY_BYTES, pidsMax: 64, cpus: [0] });
    const onLog = (line: LogEntry) => this.logs.push(line);
    return engine.start({ id, cgroup, scheduling: 'default', onLog, ...options });
  }

  async load(sandbox: Sandbox, code: string, options: Partial<LoadOptions> = {}): Promise<void> {
    await sandbox.load(this.loadOptions(code, options));
  }

  loadOptions(code: string, options: Partial<LoadOptions> = {}): LoadOptions {
    const bundlePath = join(this.directory, `${createHash('sha256').update(code).digest('hex')}.mjs`);
    writeFileSync(bundlePath, code);
    const limits = { memoryBytes: MEMORY_BYTES, timeoutMs: 10_000 };
    return { ref: functionRef('probe'), bundlePath, env: {}, ...limits, ...options };
  }
}
