/**
 * A server that speaks Redis's protocol and answers by a script: what other versions, a replica, a cluster or a server in
 * trouble would say. It holds one entry for each stream, and does as Redis does where the script says nothing.
 */

import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** A raw reply; undefined: what Redis would say. `nth`: how many such commands there were for that stream or table. */
export type Script = (command: string, nth: number, args: readonly string[]) => string | undefined;

type Value = string | number | null | Value[];

export function reply(value: Value): string {
  if (value === null) return '$-1\r\n';
  if (typeof value === 'number') return `:${value}\r\n`;
  if (typeof value === 'string') return `$${Buffer.byteLength(value)}\r\n${value}\r\n`;
  return `*${value.length}\r\n${value.map(reply).join('')}`;
}

export const OK = '+OK\r\n';
export const error = (text: string): string => `-${text}\r\n`;

interface Stream {
  taken: boolean;
  acked: boolean;
}

export class ScriptedRedis {
  /** Stream or table -> what is said of it. */
  readonly scripts = new Map<string, Script>();
  readonly streams = new Map<string, Stream>();
  /** Stream or table -> its commands, with when they came. */
  readonly heard = new Map<string, Array<{ command: string; args: readonly string[]; atMs: number }>>();
  /** Of connections: HELLO, AUTH, INFO. */
  connection: Script = () => undefined;
  version = '7.0.15';
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => this.serve(socket));
  }

  static async start(): Promise<ScriptedRedis> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ScriptedRedis(server);
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket)).on('error', () => undefined);
    let text = '';
    let queued: string[] | undefined;
    let failed = false;
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      for (let next = readCommand(text); next !== undefined; next = readCommand(text)) {
        text = text.slice(next.length);
        const [name = '', ...args] = next.words;
        const command = name.toUpperCase();
        if (command === 'MULTI') {
          queued = [];
          failed = false;
          socket.write(OK);
          continue;
        }
        const answer =
          command === 'EXEC' && failed
            ? error('EXECABORT Transaction discarded because of previous errors.')
            : this.answer(command, args);
        if (command === 'EXEC') {
          const stream = this.streams.get(this.lastKey ?? '');
          if (stream !== undefined && answer === OK) stream.acked = true;
          socket.write(answer !== OK ? answer : `*${queued?.length ?? 0}\r\n${(queued ?? []).join('')}`);
          queued = undefined;
        } else if (queued !== undefined) {
          if (answer.startsWith('-')) failed = true;
          else queued.push(answer);
          const stream = this.streams.get(this.lastKey ?? '');
          if (stream !== undefined && answer === OK) stream.acked = true;
          socket.write(answer.startsWith('-') ? answer : '+QUEUED\r\n');
        } else socket.write(answer);
      }
    });
  }

  private answer(command: string, args: readonly string[]): string {
    const key = keyOf(command, args);
    if (key === undefined) {
      // Of a transaction only its commands name the stream: its end is told by the last that spoke.
      const script =
        command === 'EXEC' && this.lastKey !== undefined ? this.scripts.get(this.lastKey) : undefined;
      const nth = command === 'EXEC' ? this.note(this.lastKey ?? '', command, args) : 0;
      return (
        script?.(command, nth, args) ?? this.connection(command, nth, args) ?? this.ofConnection(command)
      );
    }
    this.lastKey = key;
    const nth = this.note(key, command, args);
    return this.scripts.get(key)?.(command, nth, args) ?? this.ofData(command, key, args);
  }

  private lastKey: string | undefined;

  private note(key: string, command: string, args: readonly string[]): number {
    const list = this.heard.get(key) ?? [];
    list.push({ command, args, atMs: performance.now() });
    this.heard.set(key, list);
    return list.filter((one) => one.command === command).length;
  }

  private ofConnection(command: string): string {
    if (command === 'HELLO') return error("ERR unknown command 'HELLO'");
    if (command === 'INFO') return reply(`redis_version:${this.version}\r\nloading:0\r\n`);
    if (command === 'PING') return '+PONG\r\n';
    if (command === 'CONFIG') return reply(['appendonly', 'yes']);
    return OK;
  }

  private ofData(command: string, key: string, args: readonly string[]): string {
    const stream = this.streams.get(key) ?? { taken: false, acked: false };
    this.streams.set(key, stream);
    const entry = ['1-0', ['body', key]];
    switch (command) {
      case 'XPENDING':
        if (args.length > 4 && args[2] === '1-0') return reply([['1-0', 'me', 0, 1]]);
        return reply([]);
      case 'XAUTOCLAIM':
        return reply(this.version.startsWith('6') ? ['0-0', []] : ['0-0', [], []]);
      case 'EVAL': {
        // The store measures a value before it takes it.
        if (args[0]!.includes('HSTRLEN')) return reply('1');
        const claimed = args.slice(2 + Number(args[1]) + 7);
        if (claimed.length > 0) {
          stream.taken = true;
          return reply(stream.acked ? [[], 1] : [[entry], 1]);
        }
        if (stream.taken) return reply([[], 0]);
        stream.taken = true;
        return reply([[entry], 1]);
      }
      case 'XACK':
        return reply(1);
      case 'HGET':
        return reply('1');
      case 'HGETALL':
        return reply([]);
      case 'HSET':
      case 'HDEL':
        return reply(1);
      default:
        return OK;
    }
  }
}

/** The stream or table of a command. */
function keyOf(command: string, args: readonly string[]): string | undefined {
  if (command === 'EVAL') return args[2];
  if (command === 'XGROUP') return args[1];
  if (command === 'XADD') return args[0]?.replace(/:dead$/, '');
  return /^(X|H(GET|SET|DEL))/.test(command) ? args[0] : undefined;
}

/** The first whole command of a text, and its length. */
function readCommand(text: string): { words: string[]; length: number } | undefined {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return undefined;
  const words: string[] = [];
  let at = head[0].length;
  for (let i = 0; i < Number(head[1]); i++) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 16));
    if (size === null) return undefined;
    at += size[0].length;
    const end = at + Number(size[1]);
    if (text.length < end + 2) return undefined;
    words.push(text.slice(at, end));
    at = end + 2;
  }
  return { words, length: at };
}
