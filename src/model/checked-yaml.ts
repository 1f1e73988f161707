/**
 * YAML that people write, checked against a JSON Schema. Every problem is said with file, line, column and key, as
 * whoever wrote the file sees them; the schema checker itself knows only paths.
 */

import { Ajv, type AnySchema, type ErrorObject, type ValidateFunction } from 'ajv';
import { type Document, isMap, isNode, isPair, LineCounter, parseDocument } from 'yaml';
import { didYouMean } from './did-you-mean.js';
import { type ErrorCode, NemoError } from './errors.js';
import { maskUrls } from './mask-url.js';

export interface Place {
  line: number;
  column: number;
}

export interface Problem extends Place {
  key: string;
  message: string;
  hint?: string;
}

export interface CheckedYaml<T> {
  value: T;
  /** Where the value of a top-level key stands. */
  placeOf(key: string): Place;
}

/** What kind of file it is, for its messages. */
export interface YamlKind<T> {
  code: ErrorCode;
  /** "the profile" */
  what: string;
  /** Where a reader finds what may stand in it. */
  hint: string;
  validate: ValidateFunction<T>;
  /** What an empty file stands for. Default: nothing, which no schema of a map allows. */
  empty?: T;
}

/** Compiles a schema; formats: `regex`. Beside a `pattern`, `mustBe` says in words what fits it. */
export function compileSchema<T>(schema: AnySchema): ValidateFunction<T> {
  // strictRequired and strictTypes forbid conditions on properties that are declared one level up.
  const ajv = new Ajv({
    allErrors: true,
    strict: true,
    strictRequired: false,
    strictTypes: false,
    verbose: true,
  });
  ajv.addKeyword({ keyword: 'mustBe', schemaType: 'string' });
  ajv.addFormat('regex', { type: 'string', validate: isPattern });
  return ajv.compile<T>(schema);
}

/** Parses and checks; throws the kind's code with `file`, `line`, `column` and `key` in its details. */
export function parseCheckedYaml<T>(text: string, file: string, kind: YamlKind<T>): CheckedYaml<T> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0) {
    failAt(
      file,
      document.errors.map((error) => ({ ...at(error.pos[0]), key: '', message: error.message })),
      kind,
    );
  }
  const value = aliasesResolved(document, file, kind) ?? kind.empty ?? null;
  if (!kind.validate(value)) {
    const problems = (kind.validate.errors ?? []).filter((error) => error.keyword !== 'if');
    failAt(
      file,
      problems.sort(unknownKeysFirst).map((error) => describe(error, document, at, kind.what)),
      kind,
    );
  }
  return {
    value,
    placeOf(key) {
      const node = document.getIn([key], true);
      return at(isNode(node) ? (node.range?.[0] ?? 0) : 0);
    },
  };
}

/** What aliases come to is bounded by the parser, which throws then. */
function aliasesResolved(
  document: Document.Parsed,
  file: string,
  kind: Pick<YamlKind<unknown>, 'code' | 'hint'>,
): unknown {
  try {
    return document.toJS();
  } catch (thrown) {
    const { message } = thrown as Error;
    return failAt(file, [{ line: 1, column: 1, key: '', message }], kind);
  }
}

/** Throws the first problem, and says how many more there are. */
export function failAt(
  file: string,
  problems: Problem[],
  kind: Pick<YamlKind<unknown>, 'code' | 'hint'>,
): never {
  const [first, ...others] = problems;
  const { line, column, key, message, hint } = first!;
  const more = others.length === 0 ? '' : ` (and ${others.length} more in this file)`;
  throw new NemoError(kind.code, `${file}:${line}:${column}: ${message}${more}`, {
    hint: hint ?? kind.hint,
    details: { file, line, column, key },
  });
}

/** A mistyped key is also a missing one; the typo is what its author must be told. */
function unknownKeysFirst(a: ErrorObject, b: ErrorObject): number {
  return Number(b.keyword === 'additionalProperties') - Number(a.keyword === 'additionalProperties');
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

const TYPES: Record<string, string> = {
  object: 'a map of keys and values',
  array: 'a list',
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

function inWords(types: string | string[]): string {
  return [types]
    .flat()
    .map((type) => TYPES[type] ?? type)
    .join(' or ');
}

/** From the checker's path to the place in the text: a wrong value's own place, an unknown key's, or a map's start. */
function describe(
  error: ErrorObject,
  document: Document.Parsed,
  at: (offset: number) => Place,
  what: string,
): Problem {
  const path = error.instancePath.split('/').slice(1);
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  const start = at(isNode(node) ? (node.range?.[0] ?? 0) : 0);
  const here = path.join('.') || what;
  const params = error.params as Record<string, string | string[]>;
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(params.additionalProperty);
      const pair = isMap(node)
        ? node.items.find((item) => isPair(item) && String(item.key) === name)
        : undefined;
      const place = isNode(pair?.key) ? at(pair.key.range?.[0] ?? 0) : start;
      const known = Object.keys((error.parentSchema as { properties: object }).properties);
      const near = didYouMean(name, known);
      const hint = near === undefined ? `known keys are ${known.join(', ')}` : `did you mean "${near}"?`;
      return { ...place, key: [...path, name].join('.'), message: `unknown key "${name}"`, hint };
    }
    case 'required': {
      const key = [...path, String(params.missingProperty)].join('.');
      return { ...start, key, message: `"${key}" is missing` };
    }
    case 'enum': {
      const values = error.schema as string[];
      const near = didYouMean(String(error.data), values);
      const message = `${here} must be one of ${values.join(', ')}`;
      const why = (error.parentSchema as { description?: string }).description;
      const hint = near === undefined ? why : `did you mean "${near}"?`;
      return { ...start, key: path.join('.'), message, ...(hint === undefined ? {} : { hint }) };
    }
    case 'pattern': {
      const { mustBe } = error.parentSchema as { mustBe?: string };
      const said = mustBe === undefined ? error.message : `must be ${mustBe}`;
      return {
        ...start,
        key: path.join('.'),
        message: `${here} ${said}, not "${maskUrls(String(error.data))}"`,
      };
    }
    case 'format':
      return { ...start, key: path.join('.'), message: `${here} is not a regular expression: ${error.data}` };
    case 'type':
      return { ...start, key: path.join('.'), message: `${here} must be ${inWords(params.type!)}` };
    default:
      return { ...start, key: path.join('.'), message: `${here} ${error.message}` };
  }
}
