/**
 * A test bed on one box: traffic -> NF -> traffic over two veth pairs, each side in a namespace of its own.
 *
 *   traffic namespace   g0 ------ n0 \  NF namespace
 *   (generator, receiver)             NF process: a reference NF, or any program (`startNf`)
 *                       r0 ------ n1 /
 *
 * Everything is tied to the process that made it: however that ends, no process, namespace or link stays.
 */

import { fileURLToPath } from 'node:url';
import { connect, createNamespace, type Namespace } from '../linux/netns.js';
import type { ChildProcess } from '../linux/spawn.js';
import { endProcess } from '../linux/tied-process.js';
import { ERROR_CODES, type ErrorCode, NemoError } from '../model/errors.js';
import type { NfMode } from '../model/nf-profile.js';
import type { NfProcessOptions } from '../packet/nf-process.js';
import { sweepSharedLatency } from '../packet/shared-latency.js';
import { isObject, parseObject } from '../streams/json.js';
import { LineReader } from '../streams/lines.js';
import { CONTROL_LINE } from '../tunables/index.js';
import { Traffic } from './traffic/traffic.js';

/** What an NF says of itself: that it is ready, or one error. */
const NF_LINE_MAX_BYTES = 16 * 1024;
const NF_MAIN = fileURLToPath(new URL('../packet/nf-main.js', import.meta.url));

export interface TestbedOptions {
  /** A reference NF by name. */
  nfProfile: string;
  mode: NfMode;
  /** Core of the NF. */
  cpu: number;
  /** Core of the traffic. */
  housekeepingCpu: number;
  /** The function's configuration. Default: empty. */
  nfConfig?: unknown;
}

/** A process that stands between n0 and n1. */
export interface RunningNf {
  readonly pid: number;
  /** Resolves when the process has ended, with its error if it told one. */
  readonly ended: Promise<NemoError | undefined>;
  close(): Promise<void>;
}

/** Starts an NF between the interfaces n0 and n1 of the namespace, on the core; resolves when it forwards. */
export type StartNf = (place: { namespace: Namespace; cpu: number }) => Promise<RunningNf>;

export interface NfTestbedOptions {
  startNf: StartNf;
  /** Core of the NF. */
  cpu: number;
  /** Core of the traffic. */
  housekeepingCpu: number;
}

export class Testbed {
  private constructor(
    private readonly options: NfTestbedOptions,
    readonly trafficNamespace: Namespace,
    readonly nfNamespace: Namespace,
    readonly traffic: Traffic,
    private nf: RunningNf,
  ) {}

  /** Throws NOT_ROOT, MISSING_PACKAGE, NO_SUCH_CORE, SYSCALL, and what `startNf` throws. */
  static async create(options: NfTestbedOptions): Promise<Testbed> {
    const opened: Array<{ close(): Promise<void> }> = [];
    const keep = <T extends { close(): Promise<void> }>(thing: T): T => {
      opened.push(thing);
      return thing;
    };
    try {
      const outer = keep(await createNamespace());
      const inner = keep(await createNamespace());
      await connect(outer, 'g0', inner, 'n0');
      await connect(inner, 'n1', outer, 'r0');
      const nf = keep(await options.startNf({ namespace: inner, cpu: options.cpu }));
      const cpu = options.housekeepingCpu;
      const traffic = keep(await Traffic.start({ namespace: outer, near: 'g0', far: 'r0', cpu }));
      return new Testbed(options, outer, inner, traffic, nf);
    } catch (thrown) {
      for (const thing of opened.reverse()) await thing.close();
      throw thrown;
    }
  }

  get nfPid(): number {
    return this.nf.pid;
  }

  /** Resolves when the present NF process has ended, with its error if it told one. */
  nfEnded(): Promise<NemoError | undefined> {
    return this.nf.ended;
  }

  /** Ends the NF (SIGKILL: an NF may be gone at any moment) and starts it anew on the same links. */
  async restartNf(): Promise<void> {
    await this.nf.close();
    this.nf = await this.options.startNf({ namespace: this.nfNamespace, cpu: this.options.cpu });
  }

  async close(): Promise<void> {
    await Promise.all([this.traffic.close(), this.nf.close()]);
    await Promise.all([this.trafficNamespace.close(), this.nfNamespace.close()]);
    // A killed NF cannot remove its report.
    sweepSharedLatency();
  }
}

/** A bed with a reference NF. Throws also NOT_FOUND (no such NF) and BAD_CONFIG. */
export function createTestbed(options: TestbedOptions): Promise<Testbed> {
  const { cpu, housekeepingCpu } = options;
  const { nfProfile: profile, mode, nfConfig: config = {} } = options;
  const nf = { profile, mode, cpu, config, in: 'n0', out: 'n1' };
  const startNf: StartNf = ({ namespace }) => startReferenceNf(namespace, nf);
  return Testbed.create({ startNf, cpu, housekeepingCpu });
}

/** Resolves when the NF forwards between its two interfaces of the namespace. */
export function startReferenceNf(
  namespace: Namespace,
  options: Pick<NfProcessOptions, 'profile' | 'in' | 'out' | 'mode' | 'cpu' | 'config'>,
): Promise<RunningNf> {
  return NfProcess.start(namespace, options);
}

class NfProcess implements RunningNf {
  private constructor(
    private readonly child: ChildProcess,
    readonly ended: Promise<NemoError | undefined>,
  ) {}

  /** Resolves when it forwards. */
  static async start(namespace: Namespace, options: NfProcessOptions): Promise<NfProcess> {
    const child = namespace.spawn(process.execPath, [NF_MAIN, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let told: NemoError | undefined;
    const ended = new Promise<NemoError | undefined>((resolve) => child.once('close', () => resolve(told)));
    await new Promise<void>((resolve, reject) => {
      const lines = new LineReader(NF_LINE_MAX_BYTES, (line) => {
        const message = readNfLine(line);
        if (message === 'ready') resolve();
        else told ??= message;
      });
      child.stdout!.on('data', (bytes: Buffer) => lines.push(bytes));
      child.once('error', (cause) => reject(new NemoError('INTERNAL', cause.message, { cause })));
      ended.then(() => reject(told ?? new NemoError('INTERNAL', 'the NF process ended before it was ready')));
    });
    return new NfProcess(child, ended);
  }

  get pid(): number {
    return this.child.pid!;
  }

  close(): Promise<void> {
    return endProcess(this.child);
  }
}

/** Undefined: it makes no sense. */
function readNfLine(line: string): 'ready' | NemoError | undefined {
  const { ready, error } = parseObject(line, CONTROL_LINE.json) ?? {};
  if (ready === true) return 'ready';
  if (!isObject(error) || typeof error.message !== 'string') return undefined;
  const code = ERROR_CODES.find((one) => one === error.code) ?? ('INTERNAL' satisfies ErrorCode);
  return new NemoError(code, error.message, typeof error.hint === 'string' ? { hint: error.hint } : {});
}
