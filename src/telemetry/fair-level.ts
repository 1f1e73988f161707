/**
 * One bound over what is kept of many: the largest level to which those that are above it have to come down, so that all
 * together are within the bound. Who keeps little loses nothing.
 */
export function fairLevel(sizes: Iterable<number>, total: number): number {
  const ascending = [...sizes].sort((a, b) => a - b);
  let room = total;
  for (const [i, size] of ascending.entries()) {
    const level = room / (ascending.length - i);
    if (size > level) return Math.floor(level);
    room -= size;
  }
  return Number.POSITIVE_INFINITY;
}
