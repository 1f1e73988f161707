/**
 * Offers to go on in another protocol (RFC 9110, 7.8). There is one that is taken, the feed's WebSocket; one of a
 * WebSocket of anything else, and of nothing but that, is refused; every other offer (`curl --http2`) is ignored, and
 * its request answered as any other.
 */

import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { NemoError } from '../model/errors.js';
import type { FeedServer } from '../telemetry/feed-server.js';
import { afterAnswers } from './answers-before.js';
import { rawErrorReply } from './error-reply.js';
import { FOREIGN_STATUS, foreignHost, type Guard } from './guard.js';
import { METHODS_ALLOWED, methodRefused } from './methods.js';
import { readRequestSource } from './request-source.js';
import { takeTarget } from './request-target.js';
import type { Shares } from './shares.js';

/** Lets WebSocket upgrades of `/feed` through to the feed, and refuses those of anything else. */
export function attachFeed(
  server: Server,
  guard: Guard,
  feed: FeedServer,
  readers: Shares,
  stopping: () => boolean,
): void {
  onOffer(server, (request, socket, head) => {
    const refuse = refuser(socket);
    const found = takeTarget(request);
    const asker = readRequestSource(request.rawHeaders);
    if (!guard.hostAllowed(asker.host)) return refuse(foreignHost(asker.host), FOREIGN_STATUS, 'Forbidden');
    if (!found || request.url!.split('?', 1)[0] !== '/feed' || guard.isFunctionsHost(asker.host)) {
      return refuse(noWebSocket(), 404, 'Not Found');
    }
    const refusal = guard.refusal(asker, request.method!, 'api');
    if (refusal !== undefined) return refuse(refusal, FOREIGN_STATUS, 'Forbidden');
    const isStopping = stopping();
    if (isStopping || !readers.take(socket, 1)) {
      const why = isStopping ? 'the agent is stopping' : 'the feed has too many readers';
      return refuse(
        new NemoError('OVERLOADED', why, { hint: 'try again later' }),
        503,
        'Service Unavailable',
      );
    }
    socket.once('close', () => readers.give(socket, 1));
    feed.accept(request, socket, head);
  });
}

/** Where functions have a server of their own, there is no WebSocket. */
export function refuseWebSockets(server: Server): void {
  onOffer(server, (_request, socket) => refuser(socket)(noWebSocket(), 404, 'Not Found'));
}

export interface MayOffer extends IncomingMessage {
  /** With an offer that node itself ignores: it loses what comes behind the request, so no other one may. */
  offered?: boolean;
}

/**
 * Newer versions of node ask this before they let go of a connection. They keep the body of such a request to
 * themselves, so that one with a body cannot be handed to the server once more.
 */
export function letsGo(request: MayOffer): boolean {
  const { headers } = request;
  const bodiless = headers['content-length'] === undefined && headers['transfer-encoding'] === undefined;
  request.offered = !bodiless && !offersWebSocket(request);
  return !request.offered;
}

/** Nothing but a WebSocket, or one among others where there is one. */
function offersWebSocket({ headers, url }: IncomingMessage): boolean {
  const offers = (headers.upgrade ?? '').split(',').map((offer) => offer.trim().toLowerCase());
  if (!offers.includes('websocket')) return false;
  return offers.every((offer) => offer === 'websocket') || FEED.test(url!);
}

/** Its path, also with the host before it. */
const FEED = /^(?:\w+:\/\/[^/?#]*)?\/feed(?:\?|$)/;

function onOffer(
  server: Server,
  webSocket: (request: IncomingMessage, socket: Socket, head: Buffer) => void,
): void {
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (offersWebSocket(request)) webSocket(request, socket, head);
    else ignoreOffer(server, request, socket, head);
  });
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    refuser(socket)(methodRefused(request.method!), 405, 'Method Not Allowed', { Allow: METHODS_ALLOWED });
  });
}

/**
 * Hands the request to the server once more, without the offer. Node has let go of the connection at this point; when
 * told not to, it loses what a client sent behind such a request.
 */
function ignoreOffer(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
  socket.on('error', ignored);
  afterAnswers(socket, () => {
    socket.off('error', ignored).setTimeout(0);
    socket.unshift(Buffer.concat([Buffer.from(withoutOffer(request), 'latin1'), head]));
    server.emit('connection', socket);
  });
}

const ignored = (): void => undefined;

function withoutOffer({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    const lower = name.toLowerCase();
    let value = rawHeaders[i + 1]!;
    if (lower === 'upgrade') continue;
    if (lower === 'connection') {
      const options = value.split(',').filter((option) => option.trim().toLowerCase() !== 'upgrade');
      if (options.length === 0) continue;
      value = options.join(',').trim();
    }
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}

function refuser(
  socket: Duplex,
): (error: NemoError, status: number, reason: string, headers?: Record<string, string>) => void {
  return (error, status, reason, headers) => {
    socket.on('error', ignored);
    afterAnswers(socket, () => {
      socket.end(rawErrorReply(error, status, reason, headers), () => socket.destroy());
    });
  };
}

function noWebSocket(): NemoError {
  const hint = 'the one WebSocket of the agent is /feed';
  return new NemoError('NOT_FOUND', 'there is no WebSocket here', { hint });
}
