/**
 * Builders of JSON Schema (draft 7) that keep literal types, so that `FromSchema` of json-schema-to-ts derives from a schema
 * the type that code uses. The library gives types only: nothing of it is loaded.
 */

/** A map of known keys, and of no others. */
export interface MapSchema<P, R> {
  readonly type: 'object';
  readonly additionalProperties: false;
  readonly properties: P;
  readonly required: R;
}

export function map<const P, const R extends ReadonlyArray<keyof P & string> = readonly []>(
  properties: P,
  required?: R,
): MapSchema<P, R> {
  return {
    type: 'object',
    additionalProperties: false,
    properties,
    required: (required ?? []) as unknown as R,
  };
}

/** A condition: where `condition` holds, so must `rule`. It stands in an `allOf`. */
export function where<const C, const T>(condition: C, rule: T): { readonly if: C; readonly then: T } {
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  return { if: condition, then: rule };
}

export const CORES = {
  type: 'array',
  items: { type: 'integer', minimum: 0 },
  minItems: 1,
  uniqueItems: true,
} as const;
