import { expect } from 'chai';
import { reactionSection } from '../../../bench/html/reactions.js';
import type { Reactions, ScenarioResult } from '../../../bench/types.js';

const packet = {
  ...{ count: 3, p50: 900, p99: 1_700, over_slo_p50: 300, over_slo_p99: 910 },
  ...{ known_p50: 210, known_p99: 410 },
};

/** What of a result this page reads. */
const result = (...rounds: Array<Reactions | undefined>) =>
  ({
    scenario: { name: 'firewall/50' },
    rounds: rounds.map((reactions_us, round) => ({ round, policy: 'nemo', reactions_us })),
  }) as unknown as ScenarioResult;

describe('bench report: reactions', () => {
  it('shows every stage from the packet to the throttle, in a picture and a table', () => {
    const html = reactionSection([result({ count: 3, p50: 800, p99: 1_500, packet })]);
    expect(html).to.include('since the packet was received: p50 900 us, p99 1700 us');
    expect(html).to.include('since its SLO was over: p50 300 us, p99 910 us');
    expect(html).to.include('since the NF let it go, late: p50 210 us, p99 410 us');
    expect(html).to.include('look before: p50 800 us, p99 1500 us');
    for (const us of [900, 1_700, 300, 910, 210, 410, 800, 1_500])
      expect(html).to.match(new RegExp(`>${us}<`));
  });

  it('leaves out the stages that an older report, or a source that cannot tell, lacks', () => {
    const { known_p50, known_p99, ...older } = packet;
    const html = reactionSection([result({ count: 3, p50: 800, p99: 1_500, packet: older })]);
    expect(html).to.not.include('let it go, late: p50');
    expect(reactionSection([result({ count: 1, p50: 800, p99: 1_500 })])).to.include('look before: p50 800');
  });

  it('is not there when nothing was throttled', () => {
    expect(reactionSection([result(undefined, { count: 0, p50: 0, p99: 0 })])).to.equal('');
  });
});
