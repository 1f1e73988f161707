/**
 * What every connection to a Redis server has: one whose server is gone without a word (a cable, a NAT that forgot it,
 * a server that is stopped) would be waited for until the kernel gives up, after a quarter of an hour; one to a server
 * that was demoted would answer READONLY for ever. Both are made again, and reach the server that has the address now.
 */

import { REDIS } from '../tunables/index.js';
import { isOfReplica } from './redis-advice.js';
import { boundReplies } from './redis-replies.js';

// Of all connections of this process.
boundReplies();

export const RECONNECTING = {
  socketTimeout: REDIS.answerMaxMs,
  keepAlive: REDIS.keepAliveMs,
  reconnectOnError: isOfReplica,
};
