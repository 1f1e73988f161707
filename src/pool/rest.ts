/**
 * Work that tenants can make long, on a thread that all need: each time it is left alone for `times` as long as it took, so
 * that at nine times it has a tenth of the thread at most.
 */
export class Rest {
  private untilMs = 0;

  constructor(private readonly times: number) {}

  isOver(nowMs: number): boolean {
    return nowMs >= this.untilMs;
  }

  /** The work began at `fromMs` and ends now. */
  begin(fromMs: number): void {
    const nowMs = performance.now();
    this.untilMs = nowMs + this.times * (nowMs - fromMs);
  }
}
