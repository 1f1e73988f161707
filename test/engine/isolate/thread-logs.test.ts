import { expect } from 'chai';
import { ThreadLogs } from '../../../src/engine/isolate/thread-logs.js';
import { Valve } from '../../../src/streams/valve.js';

describe('what a thread prints', () => {
  it('is told to its end, and whoever waits for that goes on, also when a line cannot be told', () => {
    const told: string[] = [];
    const logs = new ThreadLogs(
      {
        id: 'sb-1',
        onLog({ stream, text }) {
          if (stream === 'stdout') throw new Error('the log breaks');
          told.push(text);
        },
      },
      { onFault: () => {} },
    );
    const valve = new Valve({ pause: () => {}, resume: () => {} });
    logs.write(1, Buffer.from('not ended'), valve);
    logs.write(2, Buffer.from('nor this'), valve);
    logs.end();
    expect(told).to.deep.equal(['nor this']);
  });
});
