/**
 * Has mocha load test files by import(): by require(), which it prefers, node 20 now and then loses a module that a
 * collection of garbage meets while it is being loaded ("request for 'node:crypto' is not in cache").
 */

Object.defineProperty(process.features, 'require_module', { value: false });
