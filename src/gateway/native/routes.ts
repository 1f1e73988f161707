/** What manages and watches this box, below `/v1` and beside it. Calls of functions do not come here: native/invoke.ts. */

import type { FastifyInstance } from 'fastify';
import type { Platform } from '../../model/platform.js';
import type { CallCounts } from '../../telemetry/call-counts.js';
import type { Shares } from '../shares.js';
import { addFunctionRoutes } from './functions.js';
import { addImageRoutes } from './images.js';
import { addLogRoutes } from './logs.js';
import { addObserveRoutes } from './observe.js';
import { addTraceRoutes } from './traces.js';

export interface RouteParts {
  /** Bytes of bodies, and places of those that follow logs. */
  bodies: Shares;
  followers: Shares;
  calls: CallCounts;
  stopping(): boolean;
}

/** Returns the way to end answers that would go on. */
export function addNativeRoutes(
  server: FastifyInstance,
  platform: Platform,
  { bodies, followers, calls, stopping }: RouteParts,
): () => void {
  addFunctionRoutes(server, platform, bodies);
  addImageRoutes(server, platform, bodies);
  addTraceRoutes(server, platform);
  addObserveRoutes(server, platform, calls, stopping);
  return addLogRoutes(server, platform, followers);
}
