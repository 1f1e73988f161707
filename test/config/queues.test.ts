import { expect } from 'chai';
import { resolveConfig } from '../../src/config/config.js';
import { NemoError } from '../../src/model/errors.js';

const resolved = (text: string): unknown => {
  const queue = { url: 'redis://127.0.0.1:6379', stream: 'jobs' };
  try {
    return resolveConfig(
      {
        queues: [
          { ...queue, function: 'good' },
          { ...queue, function: text },
        ],
      },
      [0, 1],
    ).queues[1];
  } catch (thrown) {
    return thrown;
  }
};

describe('the function of a queue', () => {
  it('is named as everywhere', () => {
    for (const text of ['hello', 'team/hello', 'team/hello:live'])
      expect(resolved(text)).to.include({ function: text });
  });

  it('is refused where the configuration is read if nothing can have that name', () => {
    for (const text of ['a/b/c', 'Hello', '../x', ':', 'hello:canary', 'x'.repeat(10_000)]) {
      const error = resolved(text) as NemoError;
      expect(error, text.slice(0, 80)).to.be.instanceOf(NemoError);
      expect(error.code).to.equal('BAD_CONFIG');
      expect(error.message).to.equal(`queues.1.function: '${text.slice(0, 80)}' does not name a function`);
      expect(error.hint).to.be.a('string');
    }
  });
});
