/**
 * How a policy is offered: a name, options with their defaults, and a function that makes it. The configuration's
 * schema, `nemo simulate` and the agent all read these entries, so an option is declared once, beside its policy.
 */

import type { FromSchema } from 'json-schema-to-ts';
import { NemoError } from '../model/errors.js';
import { parseDurationMs } from '../model/quantity.js';

export interface PolicyOption {
  /** A duration is written with its unit (`30s`) and given to the policy in milliseconds. */
  kind: 'count' | 'duration' | 'ratio';
  default: number;
  about: string;
}

export interface PolicyEntry<P, K extends string = string> {
  readonly name: string;
  readonly about: string;
  readonly options: Readonly<Record<K, PolicyOption>>;
  create(options: Record<K, number>): P;
}

/** What `choiceSchema` makes, as far as the type of what fits it goes. */
interface ChoiceSchema {
  readonly anyOf: readonly [
    { readonly type: 'string' },
    {
      readonly type: 'object';
      readonly properties: { readonly policy: { readonly type: 'string' } };
      readonly required: readonly ['policy'];
      readonly additionalProperties: { readonly type: readonly ['string', 'number'] };
    },
  ];
}

/** What the user wrote: a name, or a name with options. */
export type PolicyChoice = FromSchema<ChoiceSchema>;

/** Keeps the names of options known to `create`, and forgets them for the catalogue. */
export function definePolicy<P, K extends string = never>(entry: PolicyEntry<P, K>): PolicyEntry<P> {
  return entry as unknown as PolicyEntry<P>;
}

/**
 * Makes the policy that was chosen. `defaults` replace those of the entry where it has an option of that name.
 * BAD_CONFIG for an unknown name, an unknown option, or a value of the wrong form.
 */
export function createPolicy<P>(
  what: string,
  entries: readonly PolicyEntry<P>[],
  choice: PolicyChoice,
  defaults: Readonly<Record<string, number>> = {},
): P {
  const { policy: name, ...given } = typeof choice === 'string' ? { policy: choice } : choice;
  const entry = entries.find((one) => one.name === name);
  if (entry === undefined) {
    throw new NemoError('BAD_CONFIG', `no ${what} policy is called "${name}"`, {
      hint: `choose one of: ${entries.map((one) => one.name).join(', ')}`,
    });
  }
  const options: Record<string, number> = {};
  for (const [key, option] of Object.entries(entry.options)) options[key] = defaults[key] ?? option.default;
  for (const [key, value] of Object.entries(given)) {
    const option = entry.options[key];
    if (option === undefined) {
      throw new NemoError('BAD_CONFIG', `the ${what} policy ${name} has no option "${key}"`, {
        hint: `its options are: ${Object.keys(entry.options).join(', ') || 'none'}`,
      });
    }
    options[key] = parseOption(option, value as string | number, `${what}.${key}`);
  }
  return entry.create(options);
}

function parseOption({ kind }: PolicyOption, value: string | number, what: string): number {
  const number = kind === 'duration' ? parseDurationMs(value, what) : Number(value);
  const fits = kind === 'count' ? Number.isInteger(number) : kind === 'duration' || number <= 100;
  if (number >= 0 && fits) return number;
  throw new NemoError('BAD_CONFIG', `${what} is ${value}, which is no ${kind}`);
}

/** JSON Schema of a choice among the entries: a name, or a map with `policy` and the options of that policy only. */
export function choiceSchema(
  entries: readonly PolicyEntry<unknown>[],
  otherwise?: { pattern: string; about: string },
): ChoiceSchema {
  const names = entries.map((entry) => entry.name);
  const schema = {
    type: ['string', 'object'],
    pattern: `^(${names.join('|')}${otherwise === undefined ? '' : `|${otherwise.pattern}`})$`,
    mustBe: `one of ${names.join(', ')}${otherwise === undefined ? '' : `, or ${otherwise.about}`}`,
    properties: { policy: { type: 'string', enum: names } },
    required: ['policy'],
    allOf: entries.map((entry) => ({
      if: { type: 'object', properties: { policy: { const: entry.name } }, required: ['policy'] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: {
        additionalProperties: false,
        properties: {
          policy: { type: 'string' },
          ...Object.fromEntries(
            Object.entries(entry.options).map(([key, option]) => [key, optionSchema(option)]),
          ),
        },
      },
    })),
  };
  return schema as unknown as ChoiceSchema;
}

export const DURATION_PATTERN = '\\d+(\\.\\d+)?(ms|s|m|h)';

function optionSchema({ kind, about }: PolicyOption): object {
  if (kind === 'duration') {
    return {
      type: 'string',
      pattern: `^${DURATION_PATTERN}$`,
      mustBe: 'a duration such as 30s',
      description: about,
    };
  }
  return kind === 'count'
    ? { type: 'integer', minimum: 0, maximum: 100_000, description: about }
    : { type: 'number', minimum: 0, maximum: 100, description: about };
}
