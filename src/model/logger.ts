/**
 * The agent's own log, JSON lines on stderr: what its operator or we should know and nobody else is told of. What happens on
 * the box is an event (model/platform-events.ts), and what functions print is theirs (log-book.ts).
 */

import { type Logger, pino } from 'pino';
import { printableJson } from './printable.js';

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug';

/** Lines quote what strangers sent. */
const PRINTABLE_STDERR = { write: (line: string) => void process.stderr.write(printableJson(line)) };

/** Its level is the configuration's `logLevel`; of a process without one, the default's. */
export const logger: Logger = pino({ level: 'warn' }, PRINTABLE_STDERR);
