/**
 * A function that every stem runs before it is one: node compiles its own code and ours when it is first used, which
 * would otherwise be in the way of the first call. It uses what most functions use.
 */

export default async (event: unknown): Promise<object> => {
  await Promise.resolve();
  return { event };
};
