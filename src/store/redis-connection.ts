/**
 * What every connection to a Redis server has: one whose server is gone without a word (a cable, a NAT that forgot it,
 * a server that is stopped) would be waited for until the kernel gives up, after a quarter of an hour; one to a server
 * that was demoted would answer READONLY for ever. Both are made anew, and reach whoever has the address now.
 */

import { REDIS } from '../tunables.js';

const wasDemoted = (error: Error): boolean => error.message.includes('READONLY');

/** What a demoted server refused is asked again. */
export const RECONNECTING = {
  socketTimeout: REDIS.answerMaxMs,
  keepAlive: REDIS.keepAliveMs,
  reconnectOnError: (error: Error) => wasDemoted(error) && (2 as const),
};

/** For one that asks again itself, and says what is wrong. */
export const RECONNECTING_AND_TOLD = { ...RECONNECTING, reconnectOnError: wasDemoted };
