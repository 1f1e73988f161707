/** From errors as a runner reports them, which the function can forge, to NEMO's own: a closed list of codes. */

import { NemoError } from '../model/errors.js';
import { parseErrorReport } from './reports.js';

/** Why a call failed. */
export function callError(functionName: string, meta: Buffer): NemoError {
  const told = parseErrorReport(meta);
  const code = told.code === 'BAD_REQUEST' || told.code === 'BODY_TOO_LARGE' ? told.code : 'FUNCTION_ERROR';
  const message =
    code === 'BAD_REQUEST'
      ? `call of ${functionName}: ${told.message}`
      : `${functionName} threw ${told.name}: ${told.message}`;
  return new NemoError(code, message, { details: { name: told.name, stack: told.stack } });
}

/** Why code was not loaded. */
export function loadError(functionName: string, meta: Buffer): NemoError {
  const told = parseErrorReport(meta);
  const code = told.code === 'BAD_FUNCTION' ? 'BAD_FUNCTION' : 'FUNCTION_LOAD';
  const what =
    code === 'BAD_FUNCTION' ? 'is not a function that can be run' : 'failed while it was being loaded';
  return new NemoError(code, `${functionName} ${what}: ${told.name}: ${told.message}`, {
    hint:
      code === 'BAD_FUNCTION'
        ? 'export default async (event, context) => ..., or export default { fetch(request) { ... } }'
        : 'run the file with node to see the error',
    details: { name: told.name, stack: told.stack },
  });
}
