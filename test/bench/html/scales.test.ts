import { expect } from 'chai';
import { escapeHtml, linear, logarithmic, short } from '../../../bench/html/svg.js';

describe('scales of the report', () => {
  it('map ends to ends and mark round figures inside', () => {
    const scale = linear(0, 0.93, 100, 300);
    expect([scale(0), scale(0.93)]).to.deep.equal([100, 300]);
    expect(scale.ticks).to.deep.equal([0, 0.2, 0.4, 0.6, 0.8]);
    const log = logarithmic(3, 70, 0, 100);
    expect(log.ticks).to.deep.equal([2, 5, 10, 20, 50, 100]);
    expect([log(2), log(100), log(0)]).to.deep.equal([0, 100, 0]);
    expect(logarithmic(1, 1e6, 0, 100).ticks).to.deep.equal([1, 10, 100, 1e3, 1e4, 1e5, 1e6]);
    expect(logarithmic(1, 1, 0, 100).ticks.length).to.be.greaterThan(1);
  });

  it('write figures short and names harmless', () => {
    expect([0, 0.05, 1500, 25_000, 3e6].map(short)).to.deep.equal(['0', '0.05', '1500', '25k', '3M']);
    expect(escapeHtml(`<b a="1" b='2'>&`)).to.equal('&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;');
  });
});
