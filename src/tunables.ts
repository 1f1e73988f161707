/** Every constant that somebody may want to turn: unit in the name, reason in the comment. One file a part. */

export * from './tunables/agent.js';
export * from './tunables/control.js';
export * from './tunables/gateway.js';
export * from './tunables/harvest.js';
export * from './tunables/invoke.js';
export * from './tunables/linux.js';
export * from './tunables/microvm.js';
export * from './tunables/nf.js';
export * from './tunables/packet.js';
export * from './tunables/sandbox.js';
export * from './tunables/streams.js';
export * from './tunables/telemetry.js';
