/**
 * Whether a tap recognises the packets that pass, judged at each of its checks. A tap that looks the wrong way, or
 * compares what the NF changes, sees packets pass and recognises none on both sides. A stray packet now and then
 * (neighbour discovery) is not traffic, and one or two matches may be chance.
 */

import { TAP } from '../../tunables/index.js';

export class TapRecognition {
  /** Packets that passed since one was recognised on both sides, of those that are measured; and checks since then. */
  private unseen = 0;
  private checks = 0;
  /** It has recognised packets. */
  private proven = false;

  /** Totals before its first check. */
  constructor(
    private passed: number,
    private matched: number,
  ) {}

  /** Totals of packets that passed the interfaces, and of those recognised; one packet in 2^shift is measured. */
  check(passed: number, matched: number, shift: number): 'recognises' | 'waits' | 'blind' {
    const passedNow = Math.max(0, passed - this.passed);
    this.passed = passed;
    if (matched >= this.matched + (this.proven ? 1 : TAP.provenPackets)) {
      this.matched = matched;
      this.proven = true;
      this.unseen = 0;
      this.checks = 0;
      return 'recognises';
    }
    this.checks++;
    this.unseen = passedNow < 2 ? this.unseen / 2 : this.unseen + passedNow / 2 ** shift;
    const checksMin = this.proven ? TAP.blindLooksProven : TAP.blindLooks;
    return this.checks >= checksMin && this.unseen >= TAP.blindPackets ? 'blind' : 'waits';
  }
}
