/** Measuring takes time; nothing is expected of how long it is. */
export { setTimeout as pause } from 'node:timers/promises';
