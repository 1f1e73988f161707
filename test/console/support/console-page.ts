/**
 * A page of the console under test: it notes every request and every complaint, and reads the charts by their pixels,
 * so that a test sees what a user sees.
 */

import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import { letTimePass, until } from '../../support/waiting.js';

export class ConsolePage {
  readonly origins = new Set<string>();
  readonly complaints: string[] = [];

  private constructor(readonly page: Page) {
    const note = (url: string) => this.origins.add(new URL(url).host);
    page.on('request', (request) => note(request.url()));
    page.on('websocket', (socket) => note(socket.url()));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(String(error)));
  }

  static async open(browser: Browser, url: string, width = 1280, dark = false): Promise<ConsolePage> {
    const page = await browser.newPage({
      viewport: { width, height: 900 },
      colorScheme: dark ? 'dark' : 'light',
    });
    const opened = new ConsolePage(page);
    await page.goto(url);
    return opened;
  }

  async live(): Promise<void> {
    await this.page.locator('[data-link=live]').waitFor();
  }

  /** As it is rendered: cells and lines apart, hidden things left out. */
  async text(selector: string): Promise<string> {
    // biome-ignore lint/performance/useDomNodeTextContent: what is rendered is what is tested
    return (await this.page.locator(selector).innerText()).replaceAll('\u00a0', ' ');
  }

  /** Waits until the element says so; fails with what it says instead. */
  async says(selector: string, expected: string | RegExp): Promise<void> {
    await this.eventually(async () => {
      const text = await this.text(selector).catch(() => '(not there)');
      if (typeof expected === 'string') expect(text, selector).to.equal(expected);
      else expect(text, selector).to.match(expected);
    });
  }

  /** Waits until `check` no longer throws; then throws what it last threw. */
  async eventually(check: () => Promise<void>): Promise<void> {
    let thrown: unknown;
    const holds = (): Promise<boolean> =>
      check().then(
        () => true,
        async (error) => {
          thrown = error;
          // The page has to draw meanwhile.
          await letTimePass(50);
          return false;
        },
      );
    await until(holds, undefined, 8_000).catch(() => {
      throw thrown;
    });
  }

  /**
   * Reads a chart at the given seconds before now. Each answer: the share of the column's pixels that comes nearest
   * to each named colour of the style sheet, and the mean height (0 bottom, 1 top) at which that colour stands.
   */
  async columns(
    core: number,
    chart: 'shares' | 'latency',
    atS: number[],
    names: string[],
  ): Promise<Column[]> {
    const ask = JSON.stringify({ selector: `[data-core="${core}"] [data-chart=${chart}]`, atS, names });
    return this.page.evaluate(`(${readColumns})(${ask})`) as Promise<Column[]>;
  }
}

export type Column = Record<string, { share: number; height: number; top: boolean }>;

/** Runs in the page; as text, since the tests are compiled without the DOM's types. */
const readColumns = `({ selector, atS, names }) => {
  const chart = document.querySelector(selector);
  const canvas = chart.querySelector('canvas');
  const canvasBox = canvas.getBoundingClientRect();
  const plot = chart.querySelector('.u-over').getBoundingClientRect();
  const scale = canvas.width / canvasBox.width;
  const style = getComputedStyle(document.documentElement);
  const colours = names.map((name) => {
    const hex = style.getPropertyValue('--' + name).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  });
  const height = Math.floor(plot.height * scale) - 2;
  return atS.map((seconds) => {
    const x = Math.round((plot.left - canvasBox.left + plot.width * (1 + seconds / 60)) * scale);
    const pixels = canvas.getContext('2d').getImageData(x, Math.round((plot.top - canvasBox.top) * scale) + 1, 1, height).data;
    const found = names.map(() => ({ share: 0, height: 0, top: false }));
    for (let y = 0; y < height; y++) {
      const distances = colours.map((c) => Math.hypot(...c.map((v, i) => v - pixels[4 * y + i])));
      const nearest = distances.indexOf(Math.min(...distances));
      if (pixels[4 * y + 3] < 128 || distances[nearest] > 60) continue;
      found[nearest].share += 1;
      found[nearest].height += 1 - y / height;
      if (y < 4) found[nearest].top = true;
    }
    return Object.fromEntries(found.map((f, i) => [
      names[i],
      { share: f.share / height, height: f.share ? f.height / f.share : -1, top: f.top },
    ]));
  });
}`;
