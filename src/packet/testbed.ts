/**
 * A test bed on one box: traffic -> NF -> traffic over two veth pairs, each side in a namespace of its own.
 *
 *   traffic namespace   g0 ------ n0 \  NF namespace
 *   (generator, receiver)             NF process
 *                       r0 ------ n1 /
 *
 * Everything is tied to the process that made it: however that ends, no process, namespace or link stays.
 */

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, NemoError } from '../errors.js';
import { connect, createNamespace, type Namespace } from '../linux/netns.js';
import { endProcess } from '../linux/tied-process.js';
import type { NfMode } from '../nf/profile.js';
import type { NfProcessOptions } from './nf-process.js';
import { sweepSharedLatency } from './shared-latency.js';
import { Traffic } from './traffic/traffic.js';

const NF_MAIN = fileURLToPath(new URL('./nf-main.js', import.meta.url));

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

export class Testbed {
  private constructor(
    private readonly options: TestbedOptions,
    readonly trafficNamespace: Namespace,
    readonly nfNamespace: Namespace,
    readonly traffic: Traffic,
    private nf: NfProcess,
  ) {}

  /** Throws NOT_ROOT, MISSING_PACKAGE, NO_SUCH_CORE, NOT_FOUND (no such NF), BAD_CONFIG, SYSCALL. */
  static async create(options: TestbedOptions): Promise<Testbed> {
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
      const nf = keep(await NfProcess.start(inner, options));
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
    this.nf = await NfProcess.start(this.nfNamespace, this.options);
  }

  async close(): Promise<void> {
    await Promise.all([this.traffic.close(), this.nf.close()]);
    await Promise.all([this.trafficNamespace.close(), this.nfNamespace.close()]);
    // A killed NF cannot remove its report.
    sweepSharedLatency();
  }
}

export function createTestbed(options: TestbedOptions): Promise<Testbed> {
  return Testbed.create(options);
}

class NfProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly ended: Promise<NemoError | undefined>,
  ) {}

  /** Resolves when it forwards. */
  static async start(namespace: Namespace, options: TestbedOptions): Promise<NfProcess> {
    const { nfProfile: profile, mode, cpu, nfConfig: config = {} } = options;
    const arguments_: NfProcessOptions = { profile, in: 'n0', out: 'n1', mode, cpu, config };
    const child = namespace.spawn(process.execPath, [NF_MAIN, JSON.stringify(arguments_)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let told: NemoError | undefined;
    const ended = new Promise<NemoError | undefined>((resolve) => child.once('close', () => resolve(told)));
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const message = JSON.parse(line) as { ready: true } | ReturnType<NemoError['toJSON']>;
        if ('ready' in message) resolve();
        else
          told = new NemoError(
            message.error.code as ErrorCode,
            message.error.message,
            message.error.hint === undefined ? {} : { hint: message.error.hint },
          );
      });
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
