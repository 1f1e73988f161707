/** What every browser test of the console stands on: one browser a file, one server a test, pages that watch it. */

import type { Browser } from 'playwright-core';
import { launchBrowser } from './browser.js';
import { ConsolePage } from './console-page.js';
import { FeedServer } from './feed-server.js';
import { FeedSource, type Tune } from './feed-source.js';

export class ConsoleSetup {
  /** Replaced by a test that restarts the agent. */
  server!: FeedServer;
  private browser: Browser | undefined;
  private readonly opened: ConsolePage[] = [];

  /** To be called inside `describe`. */
  static inSuite(): ConsoleSetup {
    const bed = new ConsoleSetup();
    before(async () => {
      bed.browser = await launchBrowser();
    });
    beforeEach(async () => {
      bed.server = await FeedServer.start();
    });
    afterEach(async () => {
      for (const console of bed.opened.splice(0)) await console.page.close();
      await bed.server.stop();
    });
    after(() => bed.browser?.close());
    return bed;
  }

  /** A page that has seen `seconds` of feed at once and goes on at 10 Hz. */
  async watch(tune: Tune, { seconds = 60, width = 1280, dark = false } = {}) {
    const source = new FeedSource(Date.now() - seconds * 1_000, tune);
    this.server.publish(source.next());
    const console = await ConsolePage.open(this.browser!, this.server.url, width, dark);
    this.opened.push(console);
    await console.live();
    for (let i = 1; i < seconds * 10; i++) this.server.publish(source.next());
    this.server.play(source);
    return { console, page: console.page, source };
  }
}
