import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type { Browser } from 'playwright-core';
import { renderReport } from '../../../bench/html/report.js';
import { readReport } from '../../../bench/report-file.js';
import type { BenchReport } from '../../../bench/types.js';
import { launchBrowser } from '../../console/support/browser.js';
import { ConsolePage } from '../../console/support/console-page.js';

const MEASURED = new URL('../../../../bench/results/quick.json', import.meta.url).pathname;

/** A measured report, with what older ones lack, and names that are no good in HTML. */
function sample(): BenchReport {
  const report = readReport(MEASURED);
  const [first] = report.scenarios;
  const evil = structuredClone(first!);
  evil.scenario = { ...evil.scenario, name: '<script>window.broken = 1</script>', about: '"><img src=x>' };
  for (const round of evil.rounds) {
    const { p50, p99, max } = round.nf.latency_us;
    round.nf.latency_cdf = [
      [p50, 0.5],
      [p99, 0.99],
      [max, 1],
    ];
    round.timeline = {
      period_ms: 10,
      nf_ratio: [0.4, 0.5, 0.4, 0.3],
      function_ratio: [0.6, 0.5, 0.5, 0.7],
      throttle_level: [0, 0, 0, 0],
      nf_p99_us: [30, 45, null, 60],
    };
    round.reactions_us = {
      count: 3,
      p50: 900,
      p99: 1500,
      packet: {
        ...{ count: 3, p50: 900, p99: 1700, over_slo_p50: 300, over_slo_p99: 900 },
        ...{ known_p50: 200, known_p99: 400 },
      },
    };
  }
  return { ...report, scenarios: [...report.scenarios, evil] };
}

/** Runs in the page. */
const LOOK = `(() => {
  const inside = (box, frame) =>
    box.left >= frame.left - 1 && box.right <= frame.right + 1 && box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1;
  const pictures = [...document.querySelectorAll('svg')];
  const { backgroundColor, color } = getComputedStyle(document.body);
  return {
    pictures: pictures.length,
    cut: pictures.flatMap((picture) =>
      [...picture.querySelectorAll('text')]
        .filter((words) => !inside(words.getBoundingClientRect(), picture.getBoundingClientRect()))
        .map((words) => words.textContent)),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    broken: 'broken' in window,
    headings: [...document.querySelectorAll('h2')].map((heading) => heading.textContent),
    contrast: backgroundColor !== color,
  };
})()`;

interface Seen {
  pictures: number;
  /** Words that stick out of their picture. */
  cut: string[];
  wide: number;
  broken: boolean;
  headings: string[];
  contrast: boolean;
}

describe('the report in a browser', function () {
  this.timeout(60_000);
  let browser: Browser;
  let folder: string;

  before(async () => {
    browser = await launchBrowser();
    folder = mkdtempSync(join(tmpdir(), 'nemo-report-'));
    writeFileSync(join(folder, 'report.html'), renderReport(sample()));
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [width, dark] of [
    [1280, false],
    [400, true],
  ] as const) {
    it(`shows every picture whole, ${width} pixels wide, ${dark ? 'dark' : 'light'}, and loads nothing`, async () => {
      const url = pathToFileURL(join(folder, 'report.html')).href;
      const { page, origins, complaints } = await ConsolePage.open(browser, url, width, dark);
      expect([...origins]).to.deep.equal(['']);
      expect(complaints).to.deep.equal([]);
      const seen = (await page.evaluate(LOOK)) as Seen;
      expect(seen).to.include({ wide: 0, broken: false, contrast: true });
      expect(seen.cut).to.deep.equal([]);
      expect(seen.pictures).to.be.at.least(6);
      expect(seen.headings).to.include.members([
        'Promises',
        'Does the network function notice?',
        'All figures',
      ]);
      await page.close();
    });
  }

  it('leaves out what was not measured', () => {
    const html = renderReport({ ...sample(), scenarios: [] });
    expect(html).to.contain('How it was measured');
    expect(html).to.not.contain('How is latency spread?').and.not.contain('<svg');
  });
});
