/**
 * How every command talks to an agent: one request, one answer, errors of the agent as the NemoError that they
 * were there. Built on node:http and not on fetch, which allows no body with GET and hides why it failed.
 */

import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Command } from 'commander';
import { asNemoError, ERROR_CODES, type ErrorCode, NemoError } from '../model/errors.js';
import { maskUrl } from '../model/mask-url.js';
import { printableJson } from '../model/printable.js';

export const AGENT_DEFAULT = 'http://127.0.0.1:8080';
const CONNECT_TIMEOUT_MS = 5_000;

export interface AgentRequest {
  method: string;
  /** Path and query, with its slash. */
  path: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

export class AgentClient {
  readonly url: URL;

  /** BAD_REQUEST if `agent` is not an HTTP address. */
  constructor(agent: string) {
    const text = agent.includes('://') ? agent : `http://${agent}`;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
      throw new NemoError('BAD_REQUEST', `'${maskUrl(agent)}' is not the address of an agent`, {
        hint: `for example ${AGENT_DEFAULT}`,
      });
    }
    this.url = url;
  }

  /** The answer's head, its body unread. AGENT_UNREACHABLE if nobody answers. Any status resolves. */
  open(wanted: AgentRequest): Promise<IncomingMessage> {
    const send = this.url.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      // Asked for of browsers: a proxy on the way may make one of us.
      const headers: Record<string, string | number> = { 'x-nemo-request': '1', ...wanted.headers };
      if (wanted.body !== undefined) headers['content-length'] = Buffer.byteLength(wanted.body);
      const { method, path } = wanted;
      let request: ClientRequest;
      try {
        request = send(this.url, { method, path, headers });
      } catch (cause) {
        // Node refuses what cannot stand in a request: a method or header with a blank, for example.
        throw new NemoError('BAD_REQUEST', `this cannot be sent: ${(cause as Error).message}`, { cause });
      }
      request.on('response', resolve);
      request.on('error', (cause) => reject(this.unreachable(cause)));
      request.on('socket', (socket) => {
        if (!socket.connecting) return;
        const timer = setTimeout(
          () => request.destroy(new Error('no answer within 5 s')),
          CONNECT_TIMEOUT_MS,
        );
        for (const event of ['connect', 'close']) socket.once(event, () => clearTimeout(timer));
      });
      request.end(wanted.body);
    });
  }

  /** The parsed JSON of a 2xx answer, undefined if it has no body; rejects with the agent's own error. */
  async json<T>(wanted: AgentRequest): Promise<T> {
    const answer = await this.open(wanted);
    const text = (await readAll(answer)).toString();
    if ((answer.statusCode ?? 0) >= 400) throw errorOf(answer, text);
    try {
      return (text === '' ? undefined : JSON.parse(text)) as T;
    } catch (cause) {
      throw this.unreachable(cause);
    }
  }

  /** Where the WebSocket feed is. */
  get feedUrl(): string {
    return `${this.url.protocol === 'https:' ? 'wss' : 'ws'}://${this.url.host}/feed`;
  }

  unreachable(cause: unknown): NemoError {
    const error = cause as NodeJS.ErrnoException;
    const why = error.message || error.code || String(cause);
    return new NemoError('AGENT_UNREACHABLE', `no agent answers at ${this.url.origin}: ${why}`, {
      hint: "start one with 'nemo up', or name another with --agent URL or NEMO_AGENT",
      cause,
    });
  }
}

export interface AgentOptions {
  agent: string;
  json?: boolean;
}

/** Adds --agent and --json, which every command that talks to an agent has. */
export function agentOptions(command: Command): Command {
  return command
    .option(
      '--agent <url>',
      'address of the agent (also NEMO_AGENT)',
      process.env.NEMO_AGENT || AGENT_DEFAULT,
    )
    .option('--json', 'print JSON for scripts');
}

export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(value, null, 2))}\n`);
}

export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The error in an answer of the agent; something else that listens there gives AGENT_UNREACHABLE. */
export function errorOf(answer: IncomingMessage, text: string): NemoError {
  try {
    const { error } = JSON.parse(text) as { error: { code: ErrorCode; message: string; hint?: string } };
    if (ERROR_CODES.includes(error.code)) {
      return new NemoError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint });
    }
  } catch {
    // Not an agent's answer: said below.
  }
  return new NemoError('AGENT_UNREACHABLE', `what answers is not an agent: HTTP ${answer.statusCode}`, {
    hint: 'check the address given with --agent or NEMO_AGENT',
    cause: asNemoError(text.slice(0, 200)),
  });
}

export function functionPath(name: string): string {
  return `/v1/functions/${encodeURIComponent(name)}`;
}
