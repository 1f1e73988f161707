import { expect } from 'chai';
import { latencyBounds } from '../../src/console/web/history.js';
import type { FeedFrame } from '../../src/model/feed.js';
import { ConsoleSetup } from './support/console-setup.js';
import type { Tune } from './support/feed-source.js';

const SHARES = ['nf', 'function', 'idle', 'throttle'];

describe('console page', function () {
  this.timeout(30_000);
  const bed = ConsoleSetup.inSuite();

  it('paints who used the core, and moves with time', async () => {
    // For 50 s mostly NF, then mostly functions. The border wanders to the left.
    const { console } = await bed.watch((frame) => {
      const late = frame.seq > 500;
      set(frame, 2, {
        nfRatio: late ? 0.2 : 0.6,
        functionRatio: late ? 0.7 : 0.1,
        otherRatio: 0,
        throttleLevel: 0,
      });
    });
    await console.eventually(async () => {
      const [early, now] = await console.columns(2, 'shares', [-40, -2], SHARES);
      expect(early!.nf!.share).to.be.closeTo(0.6, 0.05);
      expect(early!.function!.share).to.be.closeTo(0.1, 0.05);
      expect(early!.idle!.share).to.be.closeTo(0.3, 0.05);
      expect(now!.nf!.share).to.be.closeTo(0.2, 0.05);
      expect(now!.function!.share).to.be.closeTo(0.7, 0.05);
      expect(now!.idle!.top, 'idle is on top').to.equal(true);
    });
    // 11 s before now it was the NF's time still; a second later it is not any more.
    const nfAt = async () => (await console.columns(2, 'shares', [-11], SHARES))[0]!.nf!.share;
    await console.eventually(async () => {
      expect(await nfAt()).to.be.closeTo(0.2, 0.05);
    });
  });

  it('shades the throttled stretch, and nothing else', async () => {
    const { console } = await bed.watch((frame) => {
      const throttled = frame.seq > 300 && frame.seq <= 420;
      set(frame, 2, { nfRatio: 0.3, functionRatio: throttled ? 0 : 0.6, otherRatio: 0 });
      set(frame, 2, { throttleLevel: throttled ? 2 : 0, throttleName: throttled ? 'quota' : 'full harvest' });
    });
    await console.eventually(async () => {
      const seconds = Array.from({ length: 59 }, (_, i) => i - 59);
      const columns = await console.columns(2, 'shares', seconds, SHARES);
      const shaded = seconds.filter((_, i) => columns[i]!.throttle!.top);
      expect(shaded.length, `shaded at ${shaded}`).to.be.within(11, 13);
      expect(shaded.at(-1)! - shaded[0]!).to.equal(shaded.length - 1);
      expect(shaded[0]).to.be.within(-32, -28);
    });
    // Text is written a few times a second only.
    await console.eventually(async () => {
      expect(await console.text('[data-core="2"] [data-throttle]')).to.contain('full harvest');
    });
    const other = await console.columns(3, 'shares', [-50, -25, -5], SHARES);
    for (const column of other) expect(column.throttle!.top).to.equal(false);
  });

  it('draws latency and SLO at their places on the log axis, and follows a new SLO', async () => {
    let sloUs = 400;
    const { console } = await bed.watch((frame) => {
      set(frame, 2, { p50Us: 20, p99Us: 100, sloUs, throttleLevel: 0 });
    });
    const heights = async (name: string) => {
      // The SLO line is dashed: any of these columns hits a dash.
      const at = Array.from({ length: 12 }, (_, i) => -30 + i / 4);
      const columns = await console.columns(2, 'latency', at, ['p50', 'p99', 'slo']);
      return columns.map((column) => column[name]!.height).filter((height) => height >= 0);
    };
    const expectAt = async (name: string, us: number, boundsOf: [number, number]) => {
      const [low, high] = boundsOf.map(Math.log10) as [number, number];
      const found = await heights(name);
      expect(found.length, `${name} is drawn`).to.be.above(3);
      expect(found[0]).to.be.closeTo((Math.log10(us) - low) / (high - low), 0.04);
    };
    await console.eventually(async () => {
      await expectAt('p50', 20, latencyBounds(20, 400));
      await expectAt('p99', 100, latencyBounds(20, 400));
      await expectAt('slo', 400, latencyBounds(20, 400));
    });
    sloUs = 5_000;
    await console.says('[data-core="2"] [data-number=slo]', '5.00 ms');
    await console.eventually(() => expectAt('p99', 100, latencyBounds(20, 5_000)));
  });

  it('shows the numbers of the feed, with units', async () => {
    const { console, page } = await bed.watch((frame) => {
      set(frame, 2, {
        nfRatio: 0.25,
        functionRatio: 0.7,
        predictedSpareRatio: 0.72,
        p50Us: 17.64,
        p99Us: 640,
        sloUs: 500,
      });
      set(frame, 2, { throttleLevel: 2, throttleName: 'quota', conflicts: 12 });
      set(frame, 2, {
        totals: { wallS: 1_000, nfS: 250, functionS: 690, spareS: 740, harvestedS: 690, throttledS: 192 },
      });
      Object.assign(frame.nfs[0]!, { p50Us: 17.64, p99Us: 640, p999Us: 2_100, sloUs: 500, sloHeld: false });
      Object.assign(frame.nfs[1]!, { p50Us: null, p99Us: null, p999Us: null, sloHeld: null });
      frame.agent.uptimeS = 7_500 + frame.seq / 1_000;
      frame.agent.loop = { hz: 1_000, latenessP99Us: 38.2, costRatio: 0.021 };
    });
    const lane = (name: string) => `[data-core="2"] [data-number=${name}]`;
    await console.says(lane('function'), '70.0 %');
    await console.says(lane('nf'), '25.0 %');
    await console.says(lane('predicted'), '72.0 %');
    await console.says(lane('harvested'), '69.0 %');
    await console.says(lane('efficiency'), '93.2 %');
    await console.says(lane('p50'), '17.6 µs');
    await console.says(lane('p99'), /^640 µs\s+above the SLO$/);
    await console.says(lane('slo'), '500 µs');
    await console.says(lane('conflicts'), '12');
    await console.says(lane('throttled'), '3 min 12 s');
    await console.says('[data-core="2"] [data-throttle="2"]', /quota · level 2/);
    await console.says('[data-nf=firewall-1] [data-number=p999]', /2\.10 ms$/);
    await console.says('[data-nf=firewall-1] [data-number=slo]', /500 µs ✕ broken$/);
    await console.says('[data-nf=ovs-1] [data-number=p99]', /–$/);
    await console.says('[data-nf=ovs-1] [data-number=slo]', /not known$/);
    await console.says('[data-agent=host]', 'edge-07');
    await console.says('[data-agent=policy]', 'policy nemo');
    await console.says('[data-agent=uptime]', '2 h 5 min');
    await console.says('[data-agent=loop]', '1,000 Hz late p99 38.2 µs');
    await console.says('[data-agent=memory]', /^agent 86\.8 MiB sandboxes 298 MiB free 18\.1 GiB$/);
    await console.says('[data-tile=slo]', /0 of 1 held/);
    await console.says('[data-banner=warnings]', /1 warning about this host[\s\S]*performance counters/);
    await console.says('[data-core-row="0"]', /housekeeping[\s\S]* % busy/);
    expect(await page.locator('[data-core="2"] [data-chart=shares]').getAttribute('aria-label')).to.match(
      /^Core 2, last 60 s\. Now: NF 25\.0\s%, functions 70\.0\s%/,
    );
  });

  for (const width of [390, 820, 1280]) {
    it(`fits ${width} px without scrolling sideways, in light and dark`, async () => {
      const long = 'a-function-with-quite-a-long-name-of-63-characters-in-all-0123456';
      const tune: Tune = (frame) => {
        frame.functions[0]!.name = long;
        frame.agent.warnings = [`${long}${long}`];
        for (const event of frame.events) event.message = `${long}${long}`;
      };
      const colours = new Set<unknown>();
      for (const dark of [false, true]) {
        const { page } = await bed.watch(tune, { seconds: 2, width, dark });
        await page.locator('.event').first().waitFor();
        expect(await page.evaluate('document.documentElement.scrollWidth')).to.be.at.most(width);
        const hidden = `[...document.querySelectorAll('main *')].filter((e) => !e.closest('.sr, thead') &&
          e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))`;
        expect(await page.evaluate(hidden)).to.deep.equal([]);
        colours.add(await page.evaluate('getComputedStyle(document.body).backgroundColor'));
        bed.server.pause();
      }
      expect(colours.size).to.equal(2);
    });
  }

  it('asks nobody but its own server, under a strict content policy, and has nothing to complain about', async () => {
    const { console, page } = await bed.watch(() => {}, { seconds: 60 });
    await console.says('[data-core="2"] [data-number=conflicts]', '1');
    await page.locator('[data-core="2"] .u-over').first().hover();
    await console.says('[data-core="2"] .readout', /s · NF .* % · functions .* % · p50 .* · p99 /);
    expect([...console.origins]).to.deep.equal([`127.0.0.1:${bed.server.port}`]);
    expect(console.complaints).to.deep.equal([]);
  });
});

function set(frame: FeedFrame, core: number, part: Partial<FeedFrame['cores'][number]>): void {
  const target = frame.cores[core]!;
  Object.assign(target, part);
  target.idleRatio = 1 - target.nfRatio - target.functionRatio - target.otherRatio;
}
