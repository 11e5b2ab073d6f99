/**
 * The numbers of "0-2,4", each raised by `offset`: v1 counts pages from 0, v2 from 1. Undefined for anything else, and
 * for more pages than any document has.
 */
export function readPageSelection(selection: string, { offset }: { offset: 0 | 1 }): number[] | undefined {
  const pages = new Set<number>();
  for (const part of selection.split(",")) {
    const match = /^\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]) + offset;
    const last = Number(match[2] ?? match[1]) + offset;
    if (first < 1 || last < first || last - first > MOST_PAGES) return undefined;
    for (let page = first; page <= last; page += 1) pages.add(page);
  }
  return [...pages].toSorted((left, right) => left - right);
}

const MOST_PAGES = 100_000;
