/** Every constant that somebody may want to turn: unit in the name, reason in the comment. One file a part. */

export * from './agent.js';
export * from './control.js';
export * from './gateway.js';
export * from './harvest.js';
export * from './invoke.js';
export * from './linux.js';
export * from './microvm.js';
export * from './nf.js';
export * from './packet.js';
export * from './sandbox.js';
export * from './streams.js';
export * from './telemetry.js';
