/**
 * Functions with calls that wait. One whose sandboxes are all still being made stands apart until something of its own
 * changes: a box with thousands of them looks at none of them whenever anybody's call comes or ends.
 */

import type { FunctionState } from '../pool/function-state.js';

export class Backlog {
  private readonly ready = new Set<FunctionState>();
  private readonly apart = new Set<FunctionState>();

  get size(): number {
    return this.ready.size + this.apart.size;
  }

  /** It has calls that wait, and is to be looked at. */
  add(fn: FunctionState): void {
    this.apart.delete(fn);
    this.ready.add(fn);
  }

  delete(fn: FunctionState): void {
    this.apart.delete(fn);
    this.ready.delete(fn);
  }

  /** Until it is added again, which whoever makes its sandboxes does. */
  setApart(fn: FunctionState): void {
    this.ready.delete(fn);
    this.apart.add(fn);
  }

  /** Those to be looked at. */
  get toServe(): ReadonlySet<FunctionState> {
    return this.ready;
  }

  *[Symbol.iterator](): Iterator<FunctionState> {
    yield* this.ready;
    yield* this.apart;
  }
}
