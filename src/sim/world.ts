/**
 * A box in virtual time. Its parts do what dispatcher, growth, pool and planner do, with the very policy objects that
 * a box runs, and costs instead of processes. Where function cores are counted, starts share them. What it leaves out:
 * calls do not slow each other.
 */

import type { SimResult } from './result.js';
import { SimBox, type SimEvent, type SimOptions } from './sim-box.js';
import { SimDispatcher } from './sim-dispatcher.js';
import { SimPlanner } from './sim-planner.js';
import type { Trace } from './trace.js';

export class World {
  private readonly box: SimBox;
  private readonly planner: SimPlanner;
  private readonly dispatcher: SimDispatcher;

  constructor(trace: Trace, options: SimOptions) {
    this.box = new SimBox(trace, options, (fn) => this.planner.look(fn));
    this.planner = new SimPlanner(this.box);
    this.dispatcher = new SimDispatcher(this.box, this.planner);
  }

  run(): SimResult {
    const { box, planner, dispatcher } = this;
    const { events, starts, result, trace } = box;
    const calls = trace.arrivalsMs.length;
    planner.start();
    for (let next = 0; ; ) {
      const arrivalMs = next < calls ? box.arrivalMs(next) : Number.POSITIVE_INFINITY;
      const startMs = starts.nextMs;
      const eventMs = Math.min(startMs, events.nextMs);
      if (arrivalMs <= eventMs) {
        // The trace is over: calls that run end, and nothing is kept for nobody.
        if (arrivalMs === Number.POSITIVE_INFINITY) break;
        box.advance(arrivalMs);
        if (next === 0) box.pool.forgetMemory();
        dispatcher.arrive(box.functions[trace.functions[next]!]!, next++);
      } else if (next === calls && dispatcher.served + result.rejected === next) {
        break;
      } else {
        box.advance(eventMs);
        this.handle(eventMs === startMs ? starts.pop(eventMs) : events.pop());
      }
    }
    return this.finish();
  }

  private handle(event: SimEvent): void {
    const { planner, dispatcher } = this;
    switch (event.kind) {
      case 'ready':
        dispatcher.started(event.sandbox);
        break;
      case 'end':
        dispatcher.ended(event.sandbox, event.call);
        break;
      case 'long':
        dispatcher.grewLong(event.sandbox, event.call);
        break;
      case 'again':
        dispatcher.pump(event.fn);
        break;
      case 'expire':
        // An earlier one came in between: it has asked for the next.
        if (event.fn.expireMs !== this.box.nowMs) break;
        event.fn.expireMs = Number.POSITIVE_INFINITY;
        planner.expire(event.fn);
        break;
      case 'look':
        if (event.fn.lookMs !== this.box.nowMs) break;
        event.fn.lookMs = Number.POSITIVE_INFINITY;
        planner.look(event.fn);
        planner.expire(event.fn);
        break;
      case 'prewarm':
        planner.woken();
        break;
      case 'trim':
        planner.trim();
        break;
      case 'made':
        planner.made(event.sandbox);
        if (event.sandbox.fn !== undefined) dispatcher.becameWarm(event.sandbox);
        planner.prewarm();
    }
  }

  private finish(): SimResult {
    const { result, pool } = this.box;
    const { served } = this.dispatcher;
    return {
      ...result,
      memoryGiBs: pool.memoryGiBs,
      idleMemoryGiBs: pool.idleMemoryGiBs,
      memoryMaxBytes: pool.memoryMaxBytes,
      evicted: pool.evicted,
      missRatio: served === 0 ? 0 : (result.cold + result.stem + result.restored) / served,
      startLatencyMs: this.dispatcher.startLatency(),
    };
  }
}
