/**
 * `nemo up` as its users run it, for tests: a process of its own over a folder of its own, so that it can be killed
 * and started again on the same state. NFs are found only where the configuration says so.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { UserConfig } from '../../src/config/config-schema.js';
import { spawnTied } from '../../src/linux/tied-process.js';
import type { FeedEvent, FeedFrame } from '../../src/model/feed.js';
import { guardianDone } from '../../src/nf/guardian.js';
import { until } from './waiting.js';

export const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
let agents = 0;

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** A `nemo` command run to its end. */
export async function nemo(args: string[], env: NodeJS.ProcessEnv = {}, stdin = ''): Promise<Ended> {
  const child = spawn(process.execPath, [CLI, ...args], { env: { ...process.env, ...env } });
  let out = '';
  let err = '';
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (err += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const [code] = await once(child, 'close');
  return { code, out, err };
}

export class RealAgent {
  readonly name = `nemo-e2e-${process.pid}-${agents++}`;
  readonly folder = mkdtempSync('/var/tmp/nemo-e2e-');
  readonly configFile = join(this.folder, 'nemo.yaml');
  url = '';
  /** With `http: { functionsPort }`. */
  functionsUrl = '';
  private child: ChildProcess | undefined;

  constructor(config: UserConfig = {}) {
    chmodSync(this.folder, 0o755);
    this.configure(config);
  }

  configure(config: UserConfig): void {
    const { folder, name } = this;
    const own = { name, stateDir: join(folder, 'state'), runDir: join(folder, 'run') };
    const http = { port: 0, ...config.http };
    writeFileSync(this.configFile, stringify({ ...own, discovery: false, ...config, http }));
  }

  get pid(): number {
    return this.child!.pid!;
  }

  /** `inherited`: descriptors that it finds open, from 60 on. `first`: what a shell does before it becomes the agent. */
  async start(inherited: readonly number[] = [], first = ':'): Promise<this> {
    const unused = inherited.length > 0 ? Array<'ignore'>(57).fill('ignore') : [];
    // Tied: a test run that is killed or gives up must leave no agent behind.
    const command = [process.execPath, CLI, 'up', '--config', this.configFile, '--json'];
    const child = spawnTied('/bin/sh', ['-c', `${first}; exec "$@"`, 'sh', ...command], {
      stdio: ['ignore', 'pipe', 'pipe', ...unused, ...inherited],
    });
    this.child = child;
    let err = '';
    child.stderr!.on('data', (text) => (err += text));
    this.url = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const ready = /"ready":"(http[^"]+)"/.exec(line);
        this.functionsUrl = /"functions":"(http[^"]+)"/.exec(line)?.[1] ?? this.functionsUrl;
        if (ready !== null) resolve(ready[1]!);
      });
      child.once('exit', (code) => reject(new Error(`the agent ended with ${code}: ${err}`)));
    });
    return this;
  }

  /** A signal to the agent; resolves with its exit code when it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL' | 'SIGHUP'): Promise<number | null> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null;
    const ended = once(child, 'exit');
    child.kill(signal);
    return (await ended)[0];
  }

  /** Nobody reads any more what it says, on either output. */
  stopReading(): void {
    this.child!.stdout!.destroy();
    this.child!.stderr!.destroy();
  }

  /** As Ctrl-C in a terminal: every process of the agent's group gets it. Resolves with the agent's exit code. */
  async interrupt(): Promise<number | null> {
    const ended = once(this.child!, 'exit');
    process.kill(-this.pid, 'SIGINT');
    return (await ended)[0];
  }

  async close(): Promise<void> {
    await this.end('SIGTERM');
    if (this.child !== undefined) await guardianDone(this.pid);
    rmSync(this.folder, { recursive: true, force: true });
  }

  fetch(path: string, init?: RequestInit): Promise<Response> {
    return fetch(this.url + path, init);
  }

  async deploy(
    name: string,
    code: string | undefined,
    options: Record<string, unknown> = {},
  ): Promise<Response> {
    return this.fetch(`/v1/functions/${name}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code, ...options }),
    });
  }

  /** Status and body of one call; of a failed one, its error code. */
  async call(
    name: string,
    body?: string | Uint8Array<ArrayBuffer>,
  ): Promise<{ status: number; body: string; code: string }> {
    const reply = await this.fetch(`/function/${name}`, {
      method: 'POST',
      ...(body === undefined ? {} : { body }),
    });
    const text = await reply.text();
    const code = reply.ok ? '' : (JSON.parse(text) as { error: { code: string } }).error.code;
    return { status: reply.status, body: text, code };
  }

  /** What a function printed, and why its calls failed. */
  async logs(name: string): Promise<string[]> {
    const text = await (await this.fetch(`/v1/functions/${name}/logs`)).text();
    return text
      .trim()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { text: string }).text);
  }

  async status(): Promise<FeedFrame> {
    return (await (await this.fetch('/v1/status')).json()) as FeedFrame;
  }

  /** In vain, it says what there is instead. */
  async until(holds: (frame: FeedFrame) => boolean): Promise<FeedFrame> {
    let frame!: FeedFrame;
    const what = (): string => {
      const { cores, nfs, events } = frame;
      return `${holds}\n${JSON.stringify({ cores, nfs, events })}`;
    };
    const look = async (): Promise<boolean> => {
      frame = await this.status();
      return holds(frame);
    };
    await until(look, what);
    return frame;
  }

  async untilEvent(holds: (event: FeedEvent) => boolean): Promise<FeedEvent> {
    let events: FeedEvent[] = [];
    const read = async (): Promise<boolean> => {
      ({ events } = (await (await this.fetch('/v1/events')).json()) as { events: FeedEvent[] });
      return events.some(holds);
    };
    await until(read, () => `${holds}\n${JSON.stringify(events)}`);
    return events.find(holds)!;
  }

  /** Directories of its cgroups that are there now. */
  groups(): string[] {
    const roots = ['', ...readdirSync('/sys/fs/cgroup')].map((top) => join('/sys/fs/cgroup', top, this.name));
    return roots.filter((path) => existsSync(path));
  }

  /** Every process in its cgroups. */
  members(): number[] {
    const pids = new Set<number>();
    for (const group of this.groups()) {
      for (const folder of foldersBelow(group)) {
        for (const pid of readText(join(folder, 'cgroup.procs')).split('\n')) {
          if (pid !== '') pids.add(Number(pid));
        }
      }
    }
    return [...pids];
  }

  get journal(): string {
    return join(this.folder, 'state', 'protected.json');
  }
}

/** A folder and all below it, also while some of them go. */
function foldersBelow(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
  return [folder, ...names.flatMap((name) => foldersBelow(join(folder, name)))];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
