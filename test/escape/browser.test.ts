/**
 * Boundary: the browser of whoever operates a box. Attackers: a page of a stranger, and a page that a function answers.
 * A real Chromium, a real gateway with its own headers; what is counted is what reached function and registry.
 */

import { expect } from 'chai';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { CONSOLE_FOLDER } from '../../src/console/assets.js';
import { launchBrowser } from '../console/support/browser.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { StrangersPage } from './support/web.js';

/** What a page tries with the browser of its reader; `document.title` says when all of it has had its answer. */
const attempts = (agent: string): string => `<!doctype html><title>trying</title><body><script>
  const agent = ${JSON.stringify(agent)};
  const settle = (node) => new Promise((done) => { node.onload = node.onerror = done; });
  const add = (tag, more) => { const node = Object.assign(document.createElement(tag), more);
    const settled = settle(node); document.body.append(node); return settled; };
  const code = JSON.stringify({ code: 'export default () => 1;' });
  const ask = (path, how) => fetch(agent + path, how).then((answer) => answer.text(), () => '');
  const socket = new Promise((done) => { const one = new WebSocket(agent.replace('http', 'ws') + '/feed');
    one.onopen = () => { document.body.dataset.feed = 'open'; done(); }; one.onerror = done; });
  Promise.all([
    add('img', { src: agent + '/function/victim?img' }),
    add('img', { src: agent + '/v1/engines' }),
    add('script', { src: agent + '/function/victim?script' }),
    add('link', { rel: 'stylesheet', href: agent + '/function/victim?style' }),
    add('iframe', { src: agent + '/function/victim?frame' }),
    ask('/function/victim?get', { mode: 'no-cors' }),
    ask('/function/victim?post', { mode: 'no-cors', method: 'POST', body: 'x' }),
    ask('/function/victim?cors'),
    ask('/v1/functions', {}).then((text) => { document.body.dataset.read = text; }),
    ask('/v1/functions/backdoor', { method: 'PUT', body: code }),
    ask('/v1/functions/backdoor', { method: 'PUT', body: code, headers: { 'X-Nemo-Request': '1' } }),
    ask('/v1/functions/victim', { method: 'DELETE' }),
    navigator.sendBeacon(agent + '/function/victim?beacon', 'x'),
    socket,
  ]).then(() => { document.title = 'tried'; });
</script>`;

describe('escape: the operator’s browser', function () {
  this.timeout(60_000);
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let box: TestBox;
  let called: string[];
  let engineLooks = 0;
  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    called = [];
    engineLooks = 0;
    const allowedHosts = ['edge.example'];
    box = await startBox({ consoleDir: CONSOLE_FOLDER, functionsPort: 0, allowedHosts });
    const { engines } = box.platform;
    box.platform.engines = () => {
      engineLooks++;
      return engines();
    };
    await box.serve('victim', (call, sink, timeline) => {
      called.push(`${call.method} ${call.query}`);
      sink.onHead(200, { 'content-type': 'text/javascript', 'Service-Worker-Allowed': '/' });
      sink.onChunk(Buffer.from('globalThis.foreignScript = true;'));
      sink.onEnd(timeline);
    });
    await box.serve('page', (_call, sink, timeline) => {
      sink.onHead(200, { 'content-type': 'text/html', 'set-cookie': 'planted=1; Path=/' });
      sink.onChunk(Buffer.from(attempts(box.gateway.url)));
      sink.onEnd(timeline);
    });
    context = await browser.newContext();
    page = await context.newPage();
  });
  afterEach(async () => {
    await context.close();
    await box.close();
  });
  const tried = (): Promise<unknown> => page.waitForFunction('document.title === "tried"');
  const untouched = async (): Promise<void> => {
    expect(called).to.deep.equal([]);
    expect(engineLooks).to.equal(0);
    expect(box.platform.registry.list().map(({ ref }) => ref.key)).to.have.members(['victim', 'page']);
  };

  it('does nothing here for the page of a stranger', async () => {
    const stranger = await StrangersPage.serve(attempts(box.gateway.url));
    try {
      await page.goto(stranger.url);
      await tried();
      expect(await page.evaluate('document.body.dataset.read')).to.equal('');
      expect(await page.evaluate('document.body.dataset.feed')).to.equal(undefined);
      await untouched();
    } finally {
      await stranger.close();
    }
  });

  it('does nothing here over plain http between machines, where a browser tells nothing of the page that asks', async () => {
    // Names that are not this machine's to the browser; it looks them up here, and goes nowhere.
    const far = await launchBrowser(
      '--host-resolver-rules=MAP edge.example 127.0.0.1, MAP evil.example 127.0.0.1',
    );
    const agent = `http://edge.example:${box.gateway.port}`;
    const stranger = await StrangersPage.serve(attempts(agent));
    try {
      const reader = await far.newPage();
      await reader.goto(`http://evil.example:${stranger.port}/`);
      await reader.waitForFunction('document.title === "tried"');
      expect(await reader.evaluate('document.body.dataset.read')).to.equal('');
      expect(await reader.evaluate('document.body.dataset.feed')).to.equal(undefined);
      await untouched();
      await reader.goto(`${agent}/`);
      await reader.locator('[data-link=live]').waitFor();
    } finally {
      await stranger.close();
      await far.close();
    }
  });

  it('follows no link of a stranger into a function, and each into the console', async () => {
    const stranger = await StrangersPage.serve(
      `<a id=f href="${box.gateway.url}/function/victim?link">f</a><a id=c href="${box.gateway.url}/">c</a>`,
    );
    try {
      await page.goto(stranger.url);
      await Promise.all([page.waitForNavigation(), page.click('#f')]);
      await untouched();
      await page.goto(stranger.url);
      await Promise.all([page.waitForNavigation(), page.click('#c')]);
      await page.locator('[data-link=live]').waitFor();
    } finally {
      await stranger.close();
    }
  });

  it('runs nothing of a function’s page on the origin of API and console, and keeps no cookie of it', async () => {
    const answer = await page.goto(`${box.gateway.url}/function/page`);
    expect(answer!.status()).to.equal(200);
    expect(await page.title()).to.equal('trying');
    // Where its scripts would have been done, an ordinary page of that origin is.
    await page.goto(`${box.gateway.url}/`);
    await page.locator('[data-link=live]').waitFor();
    await untouched();
    expect(await context.cookies()).to.deep.equal([]);
  });

  it('runs a function’s page on the functions’ own origin, from where it reaches neither API nor console', async () => {
    await page.goto(`${box.gateway.functionsUrl}/function/page`);
    await tried();
    expect(await page.evaluate('document.body.dataset.read')).to.equal('');
    expect(await page.evaluate('document.body.dataset.feed')).to.equal(undefined);
    await untouched();
    // It may well call its own kind.
    expect(await page.evaluate(`fetch('/function/victim?own').then((answer) => answer.status)`)).to.equal(
      200,
    );
    expect(called).to.deep.equal(['GET own']);
  });

  it('lets a service worker of a function control that function’s pages and no other’s', async () => {
    await page.goto(`${box.gateway.functionsUrl}/function/page`);
    await tried();
    const register = (script: string): Promise<unknown> =>
      page.evaluate(
        `navigator.serviceWorker.register(${JSON.stringify(script)}).then(({ scope }) => new URL(scope).pathname, () => 'no')`,
      );
    expect(await register('/function/victim?worker')).to.equal('no');
    expect(await register('/function/victim/worker')).to.equal('/function/victim/');
  });

  it('makes no script, style or service worker of the console from what a function answers', async () => {
    await page.goto(`${box.gateway.url}/`);
    // As if somebody had got a line into the console itself.
    const registered = await page.evaluate(
      `navigator.serviceWorker.register('/function/victim?worker', { scope: '/' }).then(() => 'yes', () => 'no')`,
    );
    expect(registered).to.equal('no');
    const loaded = await page.evaluate(`new Promise((done) => {
      const node = Object.assign(document.createElement('script'), { src: '/function/victim?script' });
      node.onload = () => done('yes'); node.onerror = () => done('no');
      document.body.append(node);
    })`);
    expect([loaded, await page.evaluate('globalThis.foreignScript')]).to.deep.equal(['no', undefined]);
    await untouched();
  });

  it('shows the console under the policy that is sent, without a complaint, and that policy holds', async () => {
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`${box.gateway.url}/`);
    await page.locator('[data-link=live]').waitFor();
    for (let i = 0; i < 5; i++) {
      const { seq } = box.nextFrame();
      await page.waitForTimeout(0);
      expect(seq).to.be.above(0);
    }
    await page.locator('canvas').first().waitFor();
    expect(complaints).to.deep.equal([]);
    const tricked = await page.evaluate(`(() => {
      const node = document.createElement('div');
      node.innerHTML = '<b style="color: rgb(1, 2, 3)" onclick="globalThis.clicked = true">x</b>';
      document.body.append(node);
      node.firstChild.click();
      return [getComputedStyle(node.firstChild).color === 'rgb(1, 2, 3)', globalThis.clicked === true];
    })()`);
    expect(tricked).to.deep.equal([false, false]);
    expect(complaints.join('\n')).to.contain('Content Security Policy');
  });
});
