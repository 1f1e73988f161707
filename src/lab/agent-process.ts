/** An agent as its users run it: a process of its own, `nemo up`, with a state folder that goes with it. */

import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { UserConfig } from '../config/config-schema.js';
import { isOwnProcess, listPids, processArgs } from '../linux/process.js';
import { spawnTied } from '../linux/tied-process.js';
import { type ErrorCode, NemoError } from '../model/errors.js';
import type { FeedFrame } from '../model/feed.js';
import { guardianDone } from '../nf/guardian.js';

const CLI = fileURLToPath(new URL('../cli/main.js', import.meta.url));

const FOLDER = 'nemo-agent-';

/** Removes the folders of owners that were killed, where no agent or guardian is left that uses them. */
function sweepFolders(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = new RegExp(`^${FOLDER}(\\d+)-`).exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    // Anybody may make folders there; root follows nobody else into his.
    if (lstatSync(join(tmpdir(), name)).uid !== process.getuid?.()) continue;
    if (!listPids().some((pid) => isOwnProcess(pid) && processArgs(pid).some((arg) => arg.includes(name)))) {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
}

export class AgentProcess {
  private constructor(
    readonly url: string,
    readonly child: ReturnType<typeof spawnTied>,
    private readonly folder: string,
    private readonly output: string[],
  ) {}

  /** Starts `nemo up` and waits until it answers. */
  static async start(config: UserConfig): Promise<AgentProcess> {
    sweepFolders();
    const folder = mkdtempSync(join(tmpdir(), `${FOLDER}${process.pid}-`));
    // Sandboxes run as users of their own and must be able to pass through.
    chmodSync(folder, 0o755);
    const file = join(folder, 'nemo.yaml');
    const name = `nemo-${process.pid}-${folder.slice(-6)}`;
    writeFileSync(
      file,
      stringify({
        name,
        stateDir: join(folder, 'state'),
        runDir: join(folder, 'run'),
        ...config,
        http: { port: 0, ...config.http },
      }),
    );
    const child = spawnTied(process.execPath, [CLI, 'up', '--config', file, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output: string[] = [];
    const keep = (line: string): void => {
      output.push(line);
      if (output.length > 200) output.shift();
    };
    createInterface({ input: child.stderr! }).on('line', keep);
    const lines = createInterface({ input: child.stdout! });
    const url = await new Promise<string>((resolve, reject) => {
      lines.on('line', (line) => {
        keep(line);
        const ready = /"ready":"(http[^"]+)"/.exec(line);
        if (ready !== null) resolve(ready[1]!);
      });
      child.once('exit', async (code) => {
        await guardianDone(child.pid!);
        rmSync(folder, { recursive: true, force: true });
        reject(reportedError(output) ?? new NemoError('INTERNAL', `the agent ended with ${code}`));
      });
    });
    return new AgentProcess(url, child, folder, output);
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** What it printed last, for an error message. */
  log(): string {
    return this.output.join('\n');
  }

  async request(method: string, path: string, body?: unknown): Promise<Response> {
    const reply = await fetch(this.url + path, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }).catch((cause: Error) => {
      const { code, message } = (cause.cause ?? cause) as NodeJS.ErrnoException;
      throw new NemoError(
        'AGENT_UNREACHABLE',
        `the agent at ${this.url} does not answer: ${message || code}`,
        {
          hint: `what it said last: ${this.output.at(-1) ?? 'nothing'}`,
          cause,
        },
      );
    });
    if (!reply.ok) {
      throw new NemoError('INTERNAL', `${method} ${path}: ${reply.status} ${await reply.text()}`);
    }
    return reply;
  }

  async deploy(name: string, code: string, options: Record<string, unknown> = {}): Promise<void> {
    await (await this.request('PUT', `/v1/functions/${name}`, { code, ...options })).arrayBuffer();
  }

  async status(): Promise<FeedFrame> {
    return (await (await this.request('GET', '/v1/status')).json()) as FeedFrame;
  }

  /** Polls the status until `done` holds or the time is over; false in the latter case. */
  async until(done: (frame: FeedFrame) => boolean, limitMs: number): Promise<boolean> {
    const end = performance.now() + limitMs;
    while (performance.now() < end) {
      if (done(await this.status())) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      const hard = setTimeout(() => this.child.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(hard);
    }
    // What a killed agent left is put in order by its guardian, from what stands in this folder.
    await guardianDone(this.pid);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The error that an agent started with --json told last. */
function reportedError(output: readonly string[]): NemoError | undefined {
  const line = output.findLast((text) => text.startsWith('{"error":'));
  if (line === undefined) return undefined;
  const { code, message, hint } = (JSON.parse(line) as { error: ReportedError }).error;
  return new NemoError(code, message, hint === undefined ? {} : { hint });
}

interface ReportedError {
  code: ErrorCode;
  message: string;
  hint?: string;
}
