/**
 * The start of a text as a text of its own. What `slice` gives is a view for the engine: kept, it keeps all of a text of which
 * others chose the length.
 */
export function startOf(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : Buffer.from(text.slice(0, maxChars)).toString();
}
