/** What a confined program and its starter have in common. */

/** What every program prints first: without it, it never ran. */
export const STARTED = 'nemo-confined/1\n';
/** Where a program finds the directory that it may write to. */
export const OUT_INSIDE = '/out';
export const BUNDLER_BINARY_INSIDE = '/esbuild/bin/esbuild';
/** Before the words of a program that cannot go on with what it was given. */
export const COMPLAINT = 'nemo: ';
