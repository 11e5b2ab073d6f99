/**
 * Joins a word that a line's end cut in two the way the document writes it elsewhere: "infor-" + "mation"
 * becomes "information", "long-" + "term" stays "long-term" where that stands somewhere. Where the word
 * occurs once only, the hyphen goes, except in words that have another one ("out-of-" + "network").
 */
export function joinByUsage(words: Iterable<string>): (before: string, after: string) => string {
  const known = new Set(words);
  return (before, after) => {
    const head = /[\p{L}\u2010-]+$/u.exec(before)?.[0].slice(0, -1) ?? "";
    const tail = /^\p{L}+/u.exec(after)?.[0] ?? "";
    const whole = `${head}${tail}`.toLowerCase();
    const hyphenated = `${head}-${tail}`.toLowerCase();
    const keepsHyphen = before.endsWith("\u00ad")
      ? false
      : !known.has(whole) && (known.has(hyphenated) || /[-\u2010]/.test(head));
    return keepsHyphen ? before + after : before.slice(0, -1) + after;
  };
}
