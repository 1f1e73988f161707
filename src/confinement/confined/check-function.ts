/** The agent's check of a function's module, made by the bundler in a confined process, whose answer is checked too. */

import type { Asker } from '../../model/asker.js';
import { NemoError } from '../../model/errors.js';
import { CONFINED } from '../../tunables/index.js';
import { answerOf, type Confined } from './confined.js';

export interface CheckedModule {
  code: string;
  /** What it imports: node's own modules, and packages kept apart. */
  imports: string[];
}

/** Throws BAD_FUNCTION with file, line, column and the source line. */
export async function checkConfined(
  confined: Confined,
  content: Buffer,
  filename: string,
  packages = false,
  asker?: Asker,
): Promise<CheckedModule> {
  if (filename.includes('\0')) throw new NemoError('BAD_FUNCTION', 'the name of the source file is not text');
  const outcome = await confined.run({
    program: 'bundle',
    args: [filename, packages ? 'packages' : ''],
    input: content,
    outputMaxBytes: CONFINED.bundleMaxBytes,
    asker,
  });
  const output = answerOf(
    outcome,
    (why) =>
      new NemoError('BAD_FUNCTION', `${filename} cannot be bundled: that ${why}`, {
        hint: 'make the code smaller, or less deeply nested',
      }),
  );
  return readAnswer(output);
}

/** Pure. Throws BAD_FUNCTION with what the bundler said, INTERNAL for what is no answer. */
export function readAnswer(output: Buffer): CheckedModule {
  let answer: Record<string, unknown> | null = null;
  try {
    answer = JSON.parse(output.toString()) as Record<string, unknown> | null;
  } catch {
    // told below
  }
  if (typeof answer === 'object' && answer !== null) {
    const { code, imports, error } = answer;
    if (typeof code === 'string' && Array.isArray(imports) && imports.every(isText)) return { code, imports };
    if (typeof error === 'object' && error !== null) throw refusal(error as Record<string, unknown>);
  }
  throw new NemoError('INTERNAL', 'the bundler gave no answer that can be read');
}

function refusal({ message, hint, details }: Record<string, unknown>): NemoError {
  const { file, line, column } = (typeof details === 'object' && details !== null ? details : {}) as Record<
    string,
    unknown
  >;
  const place = typeof file === 'string' && typeof line === 'number' && typeof column === 'number';
  return new NemoError('BAD_FUNCTION', isText(message) ? message.slice(0, 2_000) : 'it cannot be bundled', {
    ...(isText(hint) ? { hint: hint.slice(0, 500) } : {}),
    ...(place ? { details: { file: file.slice(0, 300), line, column } } : {}),
  });
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
