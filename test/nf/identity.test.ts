/** Who is believed to be an NF, case by case. */

import { expect } from 'chai';
import type { ProcessFacts } from '../../src/linux/process-facts.js';
import { distrust, distrustNamed } from '../../src/nf/identity.js';

const NGINX = { id: '1:100', writable: undefined };
const OTHER = { id: '1:200', writable: undefined };
const HOME_MADE = { id: '1:300', writable: '"/home/ann" belongs to user 1000' };
const root: ProcessFacts = {
  uids: [0, 0, 0, 0],
  ofAgent: false,
  userNamespace: 'ours',
  executable: NGINX,
  master: undefined,
};
const www: ProcessFacts = { ...root, uids: [33, 33, 33, 33] };

const cases: Array<[who: string, facts: ProcessFacts, users: number[], verdict: string | undefined]> = [
  ['a process of root', root, [], undefined],
  ['one in a group of an agent', { ...root, ofAgent: true }, [], 'sandbox'],
  ['one in another user namespace', { ...root, userNamespace: 'other' }, [], 'namespace'],
  ['one whose user namespace we may not see', { ...root, userNamespace: 'unknown' }, [], 'unreadable'],
  ['a process of a user', www, [], 'user'],
  ['a process of a user who may run NFs', www, [33], undefined],
  ['one of such a user in a group of an agent', { ...www, ofAgent: true }, [33], 'sandbox'],
  ['a set-user-ID program that a user started', { ...root, uids: [1000, 0, 0, 0] }, [], 'user'],
  ['one that can become root again', { ...root, uids: [0, 33, 0, 33] }, [], 'user'],
  ['a program that a user can write', { ...root, executable: HOME_MADE }, [], 'executable'],
  ['the same, of a user who may run NFs', { ...www, executable: HOME_MADE }, [33], 'executable'],
  ['a thread of the kernel', { ...root, executable: undefined }, [], 'unreadable'],
  ['a worker that a master of root forked', { ...www, master: root }, [], undefined],
  ['one that has executed something else since', { ...www, master: undefined }, [], 'user'],
  ['one whose master executes another file', { ...www, master: { ...root, executable: OTHER } }, [], 'user'],
  ['one whose master is not root’s', { ...www, master: { ...root, uids: [0, 33, 0, 33] } }, [], 'user'],
  ['one of a master in a group of an agent', { ...www, master: { ...root, ofAgent: true } }, [], 'user'],
  ['a worker in a namespace of its own', { ...www, userNamespace: 'other', master: root }, [], 'namespace'],
  [
    'one of a master that a user can write',
    { ...www, executable: HOME_MADE, master: { ...root, executable: HOME_MADE } },
    [],
    'user',
  ],
];

describe('who is believed to be an NF', () => {
  for (const [who, facts, users, verdict] of cases) {
    it(`${who}: ${verdict ?? 'is'}`, () => {
      expect(distrust(facts, new Set(users))?.kind).to.equal(verdict);
    });
  }

  it('a pid that the operator names is believed, but no function', () => {
    expect(distrustNamed({ ofAgent: false })).to.equal(undefined);
    expect(distrustNamed({ ofAgent: true })).to.deep.equal({ kind: 'sandbox' });
  });
});
