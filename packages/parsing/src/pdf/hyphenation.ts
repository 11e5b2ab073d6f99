/**
 * Whether the hyphen of a word that a line's end cut in two belongs to it, by the way the document writes it elsewhere:
 * "infor-" + "mation" is "information", "long-" + "term" stays "long-term" where that stands somewhere. Where the word
 * occurs once only, the hyphen goes, except in words that have another one ("out-of-" + "network").
 */
export function hyphensByUsage(words: Iterable<string>): (before: string, after: string) => boolean {
  const known = new Set(words);
  return (before, after) => {
    if (before.endsWith("\u00ad")) return false;
    const head = /[\p{L}\u2010-]+$/u.exec(before)?.[0].slice(0, -1) ?? "";
    const tail = /^\p{L}+/u.exec(after)?.[0] ?? "";
    const whole = `${head}${tail}`.toLowerCase();
    const hyphenated = `${head}-${tail}`.toLowerCase();
    return !known.has(whole) && (known.has(hyphenated) || /[-\u2010]/.test(head));
  };
}
