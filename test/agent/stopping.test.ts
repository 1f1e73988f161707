import { expect } from 'chai';
import { type Closers, endAll } from '../../src/agent/stopping.js';
import { NemoError } from '../../src/model/errors.js';

describe('ending the parts of an agent', () => {
  it('ends all of them, last first, also after one that failed, and tells the first failure', async () => {
    const ended: string[] = [];
    const closers: Closers = [
      () => void ended.push('NFs'),
      async () => {
        throw new NemoError('STORE', 'second');
      },
      () => {
        throw new NemoError('STORE', 'first');
      },
      async () => void ended.push('pool'),
    ];
    const failure = await endAll(closers).then(
      () => undefined,
      (thrown: NemoError) => thrown.message,
    );
    expect(failure).to.equal('first');
    expect(ended).to.deep.equal(['pool', 'NFs']);
  });

  it('waits for none that does not end', async () => {
    const ended: string[] = [];
    const failure = await endAll([() => void ended.push('NFs'), () => new Promise(() => undefined)], 20).then(
      () => undefined,
      (thrown: NemoError) => thrown.code,
    );
    expect(failure).to.equal('INTERNAL');
    expect(ended).to.deep.equal(['NFs']);
  });
});
