/**
 * Answers that their callers do not take, whatever they are: calls, logs, lists, files of the console. What waits for all of
 * them together is bounded, and who takes nothing for a while is cut off, so that nobody can fill the agent's memory by
 * not reading. Measured once a connection, at its socket and at the answers behind that one: no producer counts for itself.
 */

import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Budget } from './budget.js';

export interface AnswerLimits {
  /**
   * Unsent on one connection: less is not counted, as it is what the kernel is about to take. At least the high-water mark
   * of a socket, so that one that is counted tells when it is empty.
   */
  smallBytes: number;
  /** With more, a connection is the first to be cut off when there is no room. */
  largeBytes: number;
  allMaxBytes: number;
  /** A client that takes nothing for so long is gone. */
  stallMs: number;
}

/** What one connection has not taken. */
interface Unsent {
  readonly socket: Socket;
  /** What was written last in its turn: it may hold back chunks until the end of this turn of node's. */
  current: ServerResponse | undefined;
  /** Of it in the budget. */
  bytes: number;
  /** Written before their turn: node holds them back until what was asked before them is answered. */
  readonly early: Set<ServerResponse>;
  /** Those that tell when something was taken. */
  readonly watched: Set<ServerResponse>;
}

export class Answers {
  private readonly budget: Budget;
  private readonly connections = new WeakMap<Socket, Unsent>();
  /** Those with bytes in the budget; who fell behind first stands first. */
  private readonly behind = new Set<Unsent>();

  constructor(readonly limits: AnswerLimits) {
    this.budget = new Budget(limits.allMaxBytes);
  }

  get bytes(): number {
    return this.budget.bytes;
  }

  /** Call it after each write that was not taken at once. Counts, and cuts off those with whom it is too much. */
  written(response: ServerResponse): void {
    const { socket } = response.req;
    if (socket.destroyed) return;
    const unsent = this.connections.get(socket) ?? this.open(socket);
    if (response.socket === null) unsent.early.add(response);
    else unsent.current = response;
    const bytes = inTurn(unsent) + waiting(unsent);
    if (response.writableEnded ? bytes > 0 : bytes > this.limits.smallBytes) this.watch(unsent, response);
    this.count(unsent, bytes);
    if (unsent.watched.size > 0) this.stall(unsent);
  }

  /** How many were written on a connection before their turn. */
  early(socket: Socket): number {
    return this.connections.get(socket)?.early.size ?? 0;
  }

  private open(socket: Socket): Unsent {
    const unsent: Unsent = { socket, current: undefined, bytes: 0, early: new Set(), watched: new Set() };
    this.connections.set(socket, unsent);
    socket.once('close', () => this.forget(unsent));
    return unsent;
  }

  private watch(unsent: Unsent, response: ServerResponse): void {
    const { watched } = unsent;
    if (watched.has(response)) return;
    watched.add(response);
    const look = (): void => {
      if (unsent.socket.destroyed) return;
      this.count(unsent, inTurn(unsent) + waiting(unsent));
      this.stall(unsent);
    };
    response.on('drain', look);
    // Before node's own listener, which begins the wait for the next request, or the next answer.
    response.prependListener('finish', () => {
      watched.delete(response);
      if (unsent.current === response) unsent.current = undefined;
      look();
    });
  }

  /** Bytes that the kernel takes count as activity, also of a single large write. Then node's server ends it. */
  private stall(unsent: Unsent): void {
    const ms = inTurn(unsent) > 0 ? this.limits.stallMs : 0;
    if (unsent.socket.timeout !== ms) unsent.socket.setTimeout(ms);
  }

  private count(unsent: Unsent, measured: number): void {
    const bytes = measured > this.limits.smallBytes ? measured : 0;
    if (bytes === unsent.bytes) return;
    if (bytes > 0) this.behind.add(unsent);
    else this.behind.delete(unsent);
    while (!this.budget.take(bytes - unsent.bytes)) {
      const cut = this.mostInTheWay(unsent, bytes);
      this.forget(cut);
      cut.socket.destroy();
      if (cut === unsent) return;
    }
    unsent.bytes = bytes;
  }

  /** Who holds most of it, if that is much; else who has not read for longest: others only wait for the kernel. */
  private mostInTheWay(newcomer: Unsent, bytes: number): Unsent {
    let most = newcomer;
    let mostBytes = bytes;
    for (const one of this.behind) {
      if (one.bytes > mostBytes) {
        most = one;
        mostBytes = one.bytes;
      }
    }
    if (mostBytes > this.limits.largeBytes) return most;
    const [first] = this.behind;
    return first!;
  }

  private forget(unsent: Unsent): void {
    this.budget.give(unsent.bytes);
    unsent.bytes = 0;
    this.behind.delete(unsent);
  }
}

/** What the client itself could take now. */
function inTurn({ socket, current }: Unsent): number {
  return current?.socket === socket ? current.writableLength : socket.writableLength;
}

/** What waits for its turn. */
function waiting({ early }: Unsent): number {
  let bytes = 0;
  for (const response of early) {
    if (response.socket !== null || response.destroyed) early.delete(response);
    else bytes += response.writableLength;
  }
  return bytes;
}

/** What a server of the gateway answers with, so that every answer is measured. */
export function countedResponse(answers: Answers): typeof ServerResponse {
  const { smallBytes } = answers.limits;
  return class CountedResponse extends ServerResponse {
    // biome-ignore lint/suspicious/noExplicitAny: node has three forms of it, and this passes on what came
    override write(chunk: any, encoding?: any, callback?: any): boolean {
      const ready = super.write(chunk, encoding, callback);
      if (this.socket === null || this.writableLength > smallBytes) answers.written(this);
      return ready;
    }

    // biome-ignore lint/suspicious/noExplicitAny: as above
    override end(chunk?: any, encoding?: any, callback?: any): this {
      super.end(chunk, encoding, callback);
      if (this.writableLength > 0) answers.written(this);
      return this;
    }

    override assignSocket(socket: Socket): void {
      super.assignSocket(socket);
      // It was written before its turn.
      if (this.headersSent) answers.written(this);
    }
  } as typeof ServerResponse;
}
