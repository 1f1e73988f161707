/**
 * The judges of one core's NFs, and what they say together: the worst verdict of those that do not acquit functions. An
 * NF without an SLO has none. The fields hold the last `judge`; nothing is allocated a tick.
 */

import type { CoreSnapshot } from './core-snapshot.js';
import type { ConflictLevel, TickSigns } from './detect.js';
import { NfJudge } from './nf-judge.js';

type JudgedNf = Pick<CoreSnapshot['nfs'][number], 'id' | 'sloUs'>;

const GRAVITY: Record<ConflictLevel, number> = { calm: 0, leading: 1, broken: 2, severe: 3 };

export class CoreJudges {
  private nfs: readonly JudgedNf[] = [];
  /** One for each of `nfs`. */
  private judges: Array<NfJudge | undefined> = [];
  private readonly signs: TickSigns = {
    packets: 0,
    aboveSlo: 0,
    runqueueWaitNs: 0,
    slices: 0,
    queueSign: false,
    functionsRan: false,
  };

  verdict: ConflictLevel = 'calm';
  /** Some NF's packets are above its SLO, whether functions run or not. */
  sloBroken = false;
  unmeetable = false;
  acquitted = false;
  /** Who gave the verdict; undefined while it is calm. */
  accuser: NfJudge | undefined;
  /** Who gave the last one that was not. */
  private pacer: NfJudge | undefined;

  /** False: nobody says how late is late. */
  any = false;

  /** Between two packets of the NF that was hurt last; 0: not known. */
  get paceMs(): number {
    return this.pacer?.paceMs() ?? 0;
  }

  /** What is known of an NF stays, also when it is watched anew, as long as its SLO stays. */
  set(nfs: readonly JudgedNf[]): void {
    const known = new Map(this.nfs.map(({ id }, i) => [id, this.judges[i]]));
    this.nfs = nfs;
    this.judges = nfs.map(({ id, sloUs }) => {
      if (sloUs <= 0) return undefined;
      const before = known.get(id);
      return before?.sloUs === sloUs ? before : new NfJudge(sloUs);
    });
    this.any = this.judges.some((judge) => judge !== undefined);
    if (!this.judges.includes(this.pacer)) this.pacer = undefined;
    this.accuser = undefined;
    this.verdict = 'calm';
    this.sloBroken = false;
    this.unmeetable = false;
    this.acquitted = false;
  }

  /** One tick's look. `excused`: late packets are nobody's doing; `mayRun`, `offCore`: see NfJudge. */
  observe(snapshot: CoreSnapshot, excused: boolean, mayRun: boolean, offCore: boolean): void {
    const { signs } = this;
    for (let i = 0; i < this.judges.length; i++) {
      const judge = this.judges[i];
      if (judge === undefined) continue;
      const nf = snapshot.nfs[i]!;
      const isExcused = excused || nf.stoppedByQuota;
      signs.packets = isExcused ? nf.packets - nf.aboveSlo : nf.packets;
      signs.aboveSlo = isExcused ? 0 : nf.aboveSlo;
      signs.runqueueWaitNs = isExcused || snapshot.lent ? 0 : nf.waitNs;
      signs.slices = nf.slices;
      signs.queueSign = !isExcused && nf.queueSign !== undefined;
      signs.functionsRan = snapshot.functionsRan;
      for (let tick = 0; tick < snapshot.ticks; tick++) {
        judge.observe(signs, mayRun, offCore);
        signs.packets = 0;
        signs.aboveSlo = 0;
      }
    }
  }

  /** Between two ticks: packets of the NF of that index. */
  amend(index: number, packets: number, aboveSlo: number): void {
    this.judges[index]?.amend(packets, aboveSlo);
  }

  judge(): void {
    this.verdict = 'calm';
    this.accuser = undefined;
    this.sloBroken = false;
    this.unmeetable = false;
    let judges = 0;
    let acquitting = 0;
    for (let i = 0; i < this.judges.length; i++) {
      const judge = this.judges[i];
      if (judge === undefined) continue;
      judges++;
      const unmeetable = judge.unmeetable();
      if (unmeetable) this.unmeetable = true;
      else if (judge.acquits()) {
        acquitting++;
        continue;
      }
      if (judge.sloBroken()) this.sloBroken = true;
      const verdict = judge.judge();
      if (GRAVITY[verdict] <= GRAVITY[this.verdict]) continue;
      this.verdict = verdict;
      this.accuser = judge;
      if (verdict !== 'leading') this.pacer = judge;
    }
    this.acquitted = judges > 0 && acquitting === judges;
  }

  /** The packets that led here are answered for; only new ones count from now on. */
  reset(): void {
    for (const judge of this.judges) judge?.reset();
  }

  /** The same of the last 20 ms only. */
  resetShort(): void {
    for (const judge of this.judges) judge?.resetShort();
  }

  /** Share of packets above which SLO, in words, for an event. */
  cause(): string {
    const judge = this.accuser ?? this.judges.find((one) => one?.sloBroken() === true);
    if (judge === undefined) return 'the SLO is not met';
    return `${(judge.aboveShare() * 100).toFixed(1)} % of packets above the SLO of ${judge.sloUs} us`;
  }
}
