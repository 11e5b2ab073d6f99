/** UTF-16 code units. A title is a label: it comes with every row of a list, and 500 hold the longest real ones. */
const MAX_TITLE_CHARS = 500;

/** A document's title on one line and of bounded length, whatever the file calls its title; null where nothing is left. */
export function boundTitle(title: string | null): string | null {
  const line = title?.replace(/\s+/g, " ").trim() ?? "";
  if (line.length <= MAX_TITLE_CHARS) return line || null;
  // The second half of a pair of surrogates may be what was cut off.
  const kept = line.slice(0, MAX_TITLE_CHARS).replace(/[\ud800-\udbff]$/, "");
  return kept.trimEnd();
}
