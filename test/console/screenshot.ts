/**
 * Takes a picture of the console: of a running agent with --url, else of made-up frames.
 *   node dist/test/console/screenshot.js [--url http://127.0.0.1:8080/] [--out docs/console.png] [--dark]
 *     [--width 1280] [--height 0 (the whole page)] [--wait seconds (default: 0 made up, 61 real)]
 */

import { parseArgs } from 'node:util';
import { letTimePass } from '../support/waiting.js';
import { launchBrowser } from './support/browser.js';
import { FeedServer } from './support/feed-server.js';
import { FeedSource } from './support/feed-source.js';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    out: { type: 'string', default: 'docs/console.png' },
    dark: { type: 'boolean', default: false },
    width: { type: 'string', default: '1280' },
    height: { type: 'string', default: '0' },
    wait: { type: 'string' },
  },
});

const server = values.url ? undefined : await FeedServer.start();
const browser = await launchBrowser();
const height = Number(values.height);
const page = await browser.newPage({
  viewport: { width: Number(values.width), height: height || 800 },
  deviceScaleFactor: 2,
  colorScheme: values.dark ? 'dark' : 'light',
});
if (server) {
  const source = new FeedSource(Date.now() - 60_000);
  server.publish(source.next());
  await page.goto(server.url);
  await page.locator('[data-link=live]').waitFor();
  for (let i = 0; i < 600; i++) server.publish(source.next());
  server.play(source);
  await letTimePass(1_500);
} else {
  await page.goto(values.url!);
  await page.locator('[data-link=live]').waitFor();
}
await letTimePass(1_000 * Number(values.wait ?? (server ? 0 : 61)));
if (height === 0) {
  // A lane is drawn only while it is in view: make the window as tall as the page.
  const fullHeight = await page.evaluate('document.documentElement.scrollHeight');
  await page.setViewportSize({ width: Number(values.width), height: Number(fullHeight) });
  await letTimePass(500);
}
await page.screenshot({ path: values.out });
await browser.close();
await server?.stop();
console.log(values.out);
