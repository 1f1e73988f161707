/** Who may deploy, and sends a lot that takes long, does not keep others from it. */

import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Slots } from '../../src/confinement/confined/slots.js';
import type { Asker } from '../../src/model/asker.js';
import type { NemoError } from '../../src/model/errors.js';
import { createRegistry } from '../../src/provision/registry.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import type { Store } from '../../src/store/store.js';
import { startBox } from '../gateway/in-process-platform.js';
import { errorOf } from '../support/sandboxes.js';
import { asItCame } from '../support/sources.js';

describe('a line of deploys', () => {
  it('gives a place to who has none running, whatever others sent before', async () => {
    const slots = new Slots(2, 32, 'deploys');
    const begun: string[] = [];
    const ends: Array<() => void> = [];
    const deploy = (client: string, left = new AbortController().signal): Promise<void> =>
      slots.hold(
        () => {
          begun.push(client);
          return new Promise((resolve) => ends.push(resolve));
        },
        { client, left } satisfies Asker,
      );
    const all = Array.from({ length: 10 }, () => deploy('crowd'));
    all.push(deploy('other'));
    ends.shift()!();
    await all[0];
    expect(begun).to.deep.equal(['crowd', 'crowd', 'other']);
    while (begun.length < all.length || ends.length > 0) {
      ends.shift()?.();
      await new Promise(setImmediate);
    }
    await Promise.all(all);
  });

  it('has room for others, whatever one client sends', async () => {
    const slots = new Slots(1, 8, 'deploys');
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const deploy = (client: string) =>
      slots.hold(() => ended, { client, left: new AbortController().signal });
    const fitting = Array.from({ length: 5 }, () => deploy('crowd'));
    expect((await errorOf(deploy('crowd'))).code).to.equal('OVERLOADED');
    fitting.push(deploy('other'));
    end();
    await Promise.all(fitting);
  });

  it('goes on to the store, where one client does not stand before all others either', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'nemo-line-'));
    const store = openEmbeddedStore(join(directory, 'store'));
    let open = (): void => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const put: Store['put'] = async (...what) => {
      await opened;
      return store.put(...what);
    };
    const registry = await createRegistry({
      store: { ...store, put },
      bundleDir: join(directory, 'bundles'),
      prepare: asItCame,
    });
    const done: string[] = [];
    const deploy = async (name: string, client: string, left = new AbortController()): Promise<void> => {
      await registry.deploy({ name, code: name }, { client, left: left.signal });
      done.push(name);
    };
    const gone = new AbortController();
    const all = Array.from({ length: 6 }, (_, i) => deploy(`crowd-${i}`, 'crowd'));
    const left = errorOf(deploy('left', 'crowd', gone));
    all.push(deploy('other', 'other'));
    await new Promise(setImmediate);
    gone.abort();
    expect((await left).code).to.equal('CALLER_LEFT');
    open();
    await Promise.all(all);
    expect(done.slice(0, 3)).to.deep.equal(['crowd-0', 'crowd-1', 'other']);
    await registry.close();
    await store.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('is left by those whose callers have left', async () => {
    const box = await startBox();
    const slots = new Slots(1, 8, 'deploys');
    const { registry } = box.platform;
    const deploy = registry.deploy.bind(registry);
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const first = slots.hold(() => ended);
    const outcomes: string[] = [];
    const waiting = new EventEmitter();
    // As an engine does that bundles.
    registry.deploy = (input, asker) => {
      const work = slots.hold(() => deploy(input), asker);
      work.then(
        () => outcomes.push(input.name),
        ({ code }: NemoError) => waiting.emit(code),
      );
      waiting.emit('asked');
      return work;
    };
    const put = (name: string, signal: AbortSignal) =>
      fetch(`${box.gateway.url}/v1/functions/${name}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ code: 'export default () => 1;' }),
        signal,
      });
    try {
      const caller = new AbortController();
      const asked = once(waiting, 'asked');
      const gone = put('gone', caller.signal).catch(() => 'aborted');
      await asked;
      const left = once(waiting, 'CALLER_LEFT');
      caller.abort();
      await left;
      const stays = put('stays', new AbortController().signal);
      end();
      expect([await gone, (await stays).status]).to.deep.equal(['aborted', 201]);
      expect(outcomes).to.deep.equal(['stays']);
    } finally {
      end();
      await first;
      await box.close();
    }
  });
});
