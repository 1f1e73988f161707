/**
 * What the control thread does to a group: read its CPU time at 1 kHz, cap it, freeze it. It lives in another
 * thread than the driver and knows the group only by its handle. Setting the state that is already set costs
 * nothing; a group that is gone is not an error, its last CPU time stays.
 */

import { CGROUP, GATE } from '../../tunables/index.js';
import { GONE, KeptFile } from '../kept-file.js';
import type { CgroupHandle } from './driver.js';

/** What a new group has: no quota, not frozen. */
const NO_QUOTA = -1;

export class CgroupThrottle {
  readonly name: string;
  private readonly usage: KeptFile;
  private readonly quota: KeptFile | undefined;
  private readonly period: KeptFile | undefined;
  private readonly freezer: KeptFile | undefined;
  private readonly v2: boolean;
  private readonly periodUs: number;
  private cpuNs = 0;
  private quotaUs = NO_QUOTA;
  private leashed = false;
  private frozen = false;

  constructor(handle: CgroupHandle) {
    this.name = handle.name;
    this.v2 = handle.version === 'v2';
    this.periodUs = handle.quotaPeriodUs;
    // v2's cpu.stat starts with "usage_usec <n>": the rest need not be read.
    this.usage = new KeptFile(handle.cpuUsagePath, 'r', 64);
    this.quota = handle.quotaPath === undefined ? undefined : new KeptFile(handle.quotaPath, 'r+', 64);
    this.period = handle.periodPath === undefined ? undefined : new KeptFile(handle.periodPath, 'r+', 64);
    this.freezer = handle.freezePath === undefined ? undefined : new KeptFile(handle.freezePath, 'r+', 64);
  }

  /** True once the group was seen to be removed. */
  get gone(): boolean {
    return this.usage.gone;
  }

  /**
   * CPU time in units of one core that the members may use in each period: 0.25 is a quarter of a core, null no cap.
   * False if it cannot be enforced. Throws SYSCALL if the kernel refuses.
   */
  setQuotaRatio(ratio: number | null): boolean {
    if (this.quota === undefined) return false;
    const quotaUs =
      ratio === null ? NO_QUOTA : Math.max(CGROUP.quotaMinUs, Math.round(ratio * this.periodUs));
    if (quotaUs === this.quotaUs || this.leashed) return true;
    const limit = this.v2 && quotaUs === NO_QUOTA ? 'max' : String(quotaUs);
    if (this.quota.write(this.v2 ? `${limit} ${this.periodUs}` : limit) === GONE) return false;
    this.quotaUs = quotaUs;
    return true;
  }

  /**
   * Leashed, the members get next to nothing of their own (GATE.leashQuotaUs each second): they run on what a slice
   * gate lends, which quotas do not count. Other quotas wait until it is off. False if it cannot be enforced.
   */
  setLeashed(leashed: boolean): boolean {
    if (leashed === this.leashed) return true;
    this.leashed = false;
    if (!this.setQuotaRatio(null)) return false;
    if (leashed && !this.writeLeash()) return false;
    if (!leashed) this.period?.write(String(this.periodUs));
    this.leashed = leashed;
    return true;
  }

  /** On v1 the period can only change while the quota is not too large for the new one. */
  private writeLeash(): boolean {
    const { leashQuotaUs, leashPeriodUs } = GATE;
    this.quotaUs = leashQuotaUs;
    if (this.v2) return this.quota!.write(`${leashQuotaUs} ${leashPeriodUs}`) !== GONE;
    if (this.period === undefined || this.period.write(String(leashPeriodUs)) === GONE) return false;
    return this.quota!.write(String(leashQuotaUs)) !== GONE;
  }

  get isFrozen(): boolean {
    return this.frozen;
  }

  /** Members stop where they are. False if it cannot be enforced. Throws SYSCALL if the kernel refuses. */
  freeze(): boolean {
    return this.setFrozen(true);
  }

  thaw(): boolean {
    return this.setFrozen(false);
  }

  /** CPU time used by the members since the group was made, nanoseconds; up to a tick (1 to 4 ms) old. */
  readCpuNs(): number {
    if (this.usage.read() <= 0) return this.cpuNs;
    const value = this.usage.nextNumber();
    this.cpuNs = this.v2 ? value * 1_000 : value;
    return this.cpuNs;
  }

  close(): void {
    this.usage.close();
    this.quota?.close();
    this.period?.close();
    this.freezer?.close();
  }

  private setFrozen(frozen: boolean): boolean {
    if (this.freezer === undefined) return false;
    if (frozen === this.frozen) return true;
    const text = this.v2 ? (frozen ? '1' : '0') : frozen ? 'FROZEN' : 'THAWED';
    if (this.freezer.write(text) === GONE) return false;
    this.frozen = frozen;
    return true;
  }
}
