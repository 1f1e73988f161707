/**
 * Messages to the agent as lines of JSON, from the main thread of a process of isolates or from QEMU. A line that is
 * not a JSON object or not of a known form is a stray; after a few of them, or one line that does not end, nothing
 * more is read of it.
 */

import type { Socket } from 'node:net';
import { FrameError } from '../runner/frames.js';
import { parseObject } from '../streams/json.js';
import { LineReader } from '../streams/lines.js';
import { Pace } from '../streams/pace.js';
import { Valve } from '../streams/valve.js';
import { CONTROL_LINE } from '../tunables/index.js';
import { type Endings, guarded } from './guarded.js';

/** `take` returns false for an object of no known form. */
export function readControlLines(
  source: Socket,
  maxBytes: number,
  ends: Endings,
  take: (told: Record<string, unknown>) => boolean,
): void {
  const valve = new Valve(source);
  const pace = new Pace(valve, CONTROL_LINE.tokensPerSecond);
  let strays = 0;
  let over = false;
  const breakOff = (): void => {
    over = true;
    valve.hold();
  };
  const lines = new LineReader(maxBytes, (line, cut) => {
    if (over) return;
    pace.spend(1);
    const told = cut ? undefined : parseObject(line, CONTROL_LINE.json);
    if (told !== undefined && take(told)) return;
    if (++strays >= CONTROL_LINE.straysMax) throw new FrameError('it sent too many lines without a meaning');
  });
  const closing: Endings = {
    onViolation(reason) {
      breakOff();
      ends.onViolation(reason);
    },
    onFault(error) {
      breakOff();
      ends.onFault(error);
    },
  };
  source.on(
    'data',
    guarded<Buffer>(closing, (bytes) => {
      if (over) return;
      pace.spend(1);
      lines.push(bytes);
      if (lines.overlong) throw new FrameError(`it sent a line of more than ${maxBytes} bytes`);
    }),
  );
  source.once('close', () => pace.stop());
  source.on('error', () => {});
}
