/** Small pieces that several sections use. */

import type { ComponentChildren } from 'preact';
import { duration } from './format.js';

/** Full harvest is quiet, anything else stands out, by text and not by colour alone. */
export function ThrottleBadge({ level, name }: { level: number; name: string }) {
  return (
    <span class={level > 0 ? 'badge throttled' : 'badge'} data-throttle={level}>
      {level > 0 && <span aria-hidden="true">▼ </span>}
      <span class="sr">Throttle level {level}: </span>
      {name}
      {level > 0 && <span class="muted-inherit"> · level {level}</span>}
    </span>
  );
}

interface SectionProps {
  id: string;
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}

export function Section({ id, title, aside, children }: SectionProps) {
  return (
    <section aria-labelledby={id} class={`section ${id}`}>
      <div class="section-head">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

interface TableSectionProps<T> {
  id: string;
  title: string;
  /** Names, or names with the class of their heading. */
  columns: ReadonlyArray<string | { name: string; class: string }>;
  items: readonly T[];
  row: (item: T) => ComponentChildren;
  /** What to do where there are no items. */
  children: ComponentChildren;
}

/** A section that is one table. */
export function TableSection<T>({ id, title, columns, items, row, children }: TableSectionProps<T>) {
  const headings = columns.map((column) => (typeof column === 'string' ? { name: column } : column));
  return (
    <Section id={id} title={title}>
      {items.length === 0 ? (
        <Empty>{children}</Empty>
      ) : (
        <div class="card">
          <table>
            <thead>
              <tr>
                {headings.map(({ name, ...rest }) => (
                  <th key={name} scope="col" {...rest}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>{items.map(row)}</tbody>
          </table>
        </div>
      )}
    </Section>
  );
}

/** Says what to do when there is nothing to show. */
export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="card empty">{children}</p>;
}

/** A cell that knows its column's name, so that a narrow page can lay a row out as a card. */
export function Cell({
  label,
  children,
  ...rest
}: { label: string; children: ComponentChildren } & DataAttributes) {
  return (
    <td data-label={label} {...rest}>
      {children}
    </td>
  );
}

interface DataAttributes {
  'data-number'?: string;
  class?: string;
}

export function ago(ms: number): string {
  return `${duration(ms / 1_000)} ago`;
}
