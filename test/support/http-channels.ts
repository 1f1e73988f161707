/** The channel to an image's server, with a server of the test's own in the container's place. */

import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { HttpChannel } from '../../src/engine/oci/http-channel.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { ChannelEvents } from '../../src/sandbox/channel.js';

/** Loaded. */
export async function openChannel(
  port: number,
  onViolation: (reason: string) => void = () => undefined,
): Promise<HttpChannel> {
  const gate = Object.assign(new EventEmitter(), { write: () => true, pause: () => undefined });
  return new Promise((resolve) => {
    const none = { onReady: () => undefined, onLoadFailed: () => undefined };
    const events: ChannelEvents = {
      ...{
        ...none,
        onLoaded: () => resolve(channel),
        onViolation,
        onFault: () => undefined,
      },
    };
    const channel = new HttpChannel(gate as unknown as Socket, events, () => connect(port, '127.0.0.1'));
    channel.load({
      ...{ ref: functionRef('f'), source: { kind: 'image' }, bundlePath: '', env: {} },
      ...{ memoryBytes: 1, timeoutMs: 1_000 },
    });
  });
}
