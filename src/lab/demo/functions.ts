/** The demo's functions: the files of samples/, and how each is called. */

import { readFileSync } from 'node:fs';

export interface DemoFunction {
  name: string;
  code: string;
  path: string;
  callers: number;
}

const SAMPLES = new URL('../../../../samples/', import.meta.url);

export function demoFunctions(): DemoFunction[] {
  const sample = (name: string): string => readFileSync(new URL(`${name}.ts`, SAMPLES), 'utf8');
  return [
    { name: 'cpu', code: sample('cpu'), path: '/function/cpu?ms=5', callers: 3 },
    { name: 'markdown', code: sample('markdown'), path: '/function/markdown', callers: 1 },
    { name: 'hello', code: sample('hello'), path: '/function/hello', callers: 1 },
  ];
}
