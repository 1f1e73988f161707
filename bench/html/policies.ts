/** One colour a policy, the same in every picture, told apart also by people who do not see red and green alike. */

const COLOURS: Record<string, readonly [light: string, dark: string]> = {
  solo: ['#5b6472', '#aab4c2'],
  nemo: ['#0067b8', '#56b4e9'],
  naive: ['#c23b00', '#ff9457'],
  nice19: ['#8a6a00', '#e8c33a'],
  quota: ['#8e4a8b', '#d99bd6'],
  static: ['#6b4a2b', '#c8a27c'],
  idle: ['#00785a', '#3ccfa5'],
  'nemo-no-conflict': ['#3f51c5', '#9aa7ff'],
  'nemo-no-predict': ['#00838f', '#6fdbe6'],
};
const OTHER = ['#333333', '#dddddd'] as const;

export function policyClass(policy: string): string {
  return COLOURS[policy] === undefined ? 'p-other' : `p-${policy}`;
}

export function policyCss(): string {
  const rules = (which: 0 | 1): string =>
    [...Object.entries(COLOURS), ['other', OTHER] as const]
      .map(([policy, colours]) => `.p-${policy}{--c:${colours[which]}}`)
      .join('');
  return `${rules(0)}@media(prefers-color-scheme:dark){${rules(1)}}`;
}

/** A row of named colours. */
export function legend(policies: readonly string[]): string {
  const items = policies.map(
    (policy) => `<span class="${policyClass(policy)}"><i></i>${policyName(policy)}</span>`,
  );
  return `<p class="legend">${items.join('')}</p>`;
}

/** Letters, digits and dashes only: names come from a file. */
export function policyName(policy: string): string {
  return policy.replace(/[^\w-]/g, '');
}
