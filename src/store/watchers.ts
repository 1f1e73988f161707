/** Who watches which table: the same for every store. */

type OnChange = (key: string | undefined) => void;

export class Watchers {
  private readonly byTable = new Map<string, Set<OnChange>>();

  /** Returns the way to stop. */
  add(table: string, onChange: OnChange): () => void {
    const watching = this.byTable.get(table) ?? new Set();
    // One function may watch twice.
    const own: OnChange = (key) => onChange(key);
    this.byTable.set(table, watching.add(own));
    return () => {
      watching.delete(own);
      if (watching.size === 0 && this.byTable.get(table) === watching) this.byTable.delete(table);
    };
  }

  changed(table: string, key: string | undefined): void {
    for (const onChange of this.byTable.get(table) ?? []) onChange(key);
  }

  /** Changes of any table may have been missed. */
  missed(): void {
    for (const table of this.byTable.keys()) this.changed(table, undefined);
  }
}
