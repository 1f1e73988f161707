import { expect } from 'chai';
import { ConsoleSetup } from './support/console-setup.js';

describe('console lists', function () {
  this.timeout(30_000);
  const bed = ConsoleSetup.inSuite();

  it('lists functions with their sandboxes, whose facts come on hover and by keyboard', async () => {
    const { console, page } = await bed.watch(() => {}, { seconds: 1 });
    await console.says('[data-function=hello] [data-number=p50]', /310 µs$/);
    await console.says('[data-function=fraud-score] [data-number=failed]', /3$/);
    await console.says('[data-function=hello] [data-number=starts]', /cold 0 stem 4 warm 61,204/);
    await console.says('[data-function=hello] .sub', '2 busy, 2 warm');
    const chips = page.locator('[data-function=hello] .chip');
    expect(await chips.count()).to.equal(4);
    await chips.nth(0).hover();
    await console.says(
      '[data-function=hello] .tip',
      /busy[\s\S]*s-01[\s\S]*core\s+2[\s\S]*pid\s+5000[\s\S]*31\.0 MiB[\s\S]*calls/,
    );
    await page.mouse.move(0, 0);
    await page.locator('.tip').waitFor({ state: 'detached' });
    // One stop of the Tab key for the group, arrows within.
    expect(await page.locator('[data-function=hello] .chip[tabindex="0"]').count()).to.equal(1);
    await chips.nth(0).focus();
    await page.keyboard.press('ArrowRight');
    await console.says('[data-function=hello] .tip', /s-02/);
    expect(await chips.nth(1).getAttribute('aria-label')).to.match(/^busy: id s-02, core 3, pid 5001/);
  });

  it('lists events newest first, filters them and holds still when paused', async () => {
    const { console, page, source } = await bed.watch(() => {}, { seconds: 1 });
    const rows = page.locator('.event');
    await console.says('.event >> nth=0', /function-failed[\s\S]*fraud-score threw/);
    expect(await rows.count()).to.equal(9);
    await page.getByLabel('Least severity').selectOption('error');
    await console.eventually(async () => void expect(await rows.count()).to.equal(1));
    await page.getByLabel('Least severity').selectOption('info');
    await page.getByLabel('Filter events by text').fill('firewall-1 core 2');
    await console.eventually(async () => void expect(await rows.count()).to.equal(2));
    await page.getByLabel('Filter events by text').fill('no such thing');
    await console.says('.events .empty', 'No event matches the filter.');
    await page.getByLabel('Filter events by text').fill('');
    await page.getByRole('button', { name: 'Pause' }).click();
    source.event('throttle', 'warning', 'later', { core: 2, fromLevel: 0, toLevel: 2, reactionUs: 640 });
    await page.getByRole('button', { name: 'Resume (1 new)' }).waitFor();
    expect(await rows.count()).to.equal(9);
    await page.getByRole('button', { name: /Resume/ }).click();
    await console.says('.event >> nth=0', /throttle[\s\S]*later core 2 · level 0 → 2 · reacted in 640 µs/);
    const message = 'core 2: half -> full: calm';
    source.event('recover', 'info', message, { core: 2, fromLevel: 2, toLevel: 0, cause: 'calm' });
    await console.says('.event >> nth=0', new RegExp(`recover\\s+${message}$`));
  });

  it('shows markup in names and messages as text', async () => {
    const evil = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`;
    const { console, page } = await bed.watch(
      (frame) => {
        frame.functions[0]!.name = evil;
        frame.functions[0]!.sandboxes[0]!.id = evil;
        frame.nfs[0]!.id = evil;
        frame.agent.hostname = evil;
        frame.agent.warnings = [evil];
        frame.cores[2]!.throttleName = evil;
        for (const event of frame.events) event.message = evil;
      },
      { seconds: 1 },
    );
    for (const selector of [
      '.functions tbody .strong >> nth=0',
      '[data-agent=host]',
      '[data-banner=warnings] li',
    ]) {
      await console.says(selector, evil);
    }
    await console.says('.event .message >> nth=0', /^<img src=x onerror=.*<script>/);
    await page.locator('.chip').first().hover();
    await console.says('.tip', /<img src=x/);
    expect(await page.locator('main img, main script').count()).to.equal(0);
    expect(await page.evaluate('window.hacked')).to.equal(undefined);
    expect(console.complaints).to.deep.equal([]);
  });

  it('says what to do while there is nothing to show', async () => {
    const { console } = await bed.watch(
      (frame) => {
        for (const core of frame.cores) core.role = 'free';
        Object.assign(frame, { nfs: [], functions: [], events: [] });
      },
      { seconds: 1 },
    );
    await console.says('.functions .empty', 'No function yet: nemo deploy samples/hello.ts');
    await console.says('.nfs .empty', /nemo nf run firewall/);
    await console.says('.lanes .empty', /No NF core yet/);
    await console.says('.events .empty', /No event yet/);
    await console.says('[data-tile=slo]', /no verdict/);
  });
});
