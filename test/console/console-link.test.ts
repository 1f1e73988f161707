import { expect } from 'chai';
import { ConsoleSetup } from './support/console-setup.js';
import { FeedServer } from './support/feed-server.js';
import { FeedSource } from './support/feed-source.js';

describe('console connection to the agent', function () {
  this.timeout(30_000);
  const bed = ConsoleSetup.inSuite();

  it('counts frames that it lost', async () => {
    const { console, source } = await bed.watch(() => {}, { seconds: 1 });
    await console.says('[data-agent=lost]', '0');
    for (let i = 0; i < 7; i++) source.next();
    await console.says('[data-agent=lost]', '7');
  });

  it('shows a lost connection and heals, also with an agent that counts from 1 again', async () => {
    const { console, page } = await bed.watch(() => {}, { seconds: 30 });
    const { port } = bed.server;
    await bed.server.stop();
    await console.says('[data-banner=link]', /No connection to the agent[\s\S]*(Next try in|Trying now)/);
    expect(await console.text('[data-link]')).to.contain('Disconnected');
    expect(await page.locator('main.stale').count()).to.equal(1);
    expect(await page.title()).to.match(/^✕ /);
    bed.server = await FeedServer.start(port);
    bed.server.play(new FeedSource(Date.now()));
    await console.live();
    await page.locator('[data-banner=link]').waitFor({ state: 'detached' });
    await console.says('[data-banner=restart]', /The agent restarted once/);
    await console.says('[data-agent=lost]', '0');
    expect(await page.locator('main.stale').count()).to.equal(0);
    // What was before the loss still stands on the left.
    const [before] = await console.columns(2, 'shares', [-20], ['nf']);
    expect(before!.nf!.share).to.be.above(0.1);
    const unexpected = console.complaints.filter((text) => !text.includes('WebSocket connection to'));
    expect(unexpected).to.deep.equal([]);
  });

  it('notices an agent that keeps the socket and says nothing', async () => {
    const { console, source } = await bed.watch(() => {}, { seconds: 1 });
    bed.server.pause();
    await console.says('[data-banner=link]', /It went silent/);
    bed.server.play(source);
    await console.live();
    await console.says('[data-agent=lost]', '0');
  });

  it('says so when the agent speaks another schema', async () => {
    const { console } = await bed.watch(() => {}, { seconds: 1 });
    bed.server.pause();
    bed.server.send(JSON.stringify({ schema: 'nemo.feed/2' }));
    await console.says(
      '[data-banner=link]',
      /does not fit the agent[\s\S]*nemo\.feed\/2[\s\S]*Reload the page/,
    );
  });
});
