/**
 * From facts about a host to what they mean for NEMO: for each thing whether it is there, what is lost without it,
 * and the way out. Pure. `essential` things decide whether NEMO can run at all; everything else only costs something.
 */

import type { HostFacts } from '../../host/host.js';
import { ACCESS_RULES } from './access-rules.js';
import { CORE_RULES } from './core-rules.js';
import { ISOLATION_RULES } from './isolation-rules.js';
import { LIMIT_RULES } from './limit-rules.js';
import type { Rule } from './rule.js';
import { SIGNAL_RULES } from './signal-rules.js';
import { STORE_RULES } from './store-rules.js';

export interface Finding {
  what: string;
  state: 'ok' | 'missing' | 'degraded';
  /** What was found. */
  detail: string;
  /** NEMO cannot run without it. */
  essential: boolean;
  /** Given when the state is not ok. */
  lost?: string;
  wayOut?: string;
}

/** In the order in which they are shown. */
const RULES: readonly Rule[] = [
  ...CORE_RULES,
  ...LIMIT_RULES,
  ...ACCESS_RULES,
  ...SIGNAL_RULES,
  ...ISOLATION_RULES,
  ...STORE_RULES,
];

export function diagnose(host: HostFacts): Finding[] {
  return RULES.map((rule) => {
    const state = rule.state(host);
    const finding = { what: rule.what, state, detail: rule.detail(host), essential: rule.essential ?? false };
    return state === 'ok' ? finding : { ...finding, lost: rule.lost, wayOut: rule.wayOut(host) };
  });
}

export function canRun(findings: readonly Finding[]): boolean {
  return findings.every((finding) => finding.state === 'ok' || !finding.essential);
}
