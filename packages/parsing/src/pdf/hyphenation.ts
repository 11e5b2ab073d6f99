/**
 * Whether the hyphen of a word that a line's end cut in two belongs to it, by the way the document writes it elsewhere:
 * "infor-" + "mation" is "information", "long-" + "term" stays "long-term" where that stands somewhere. Where the word
 * occurs once only, the hyphen goes, except in words that have another one ("out-of-" + "network") and in compounds that
 * are written with one ("self-" + "insured").
 */
export function hyphensByUsage(words: Iterable<string>): (before: string, after: string) => boolean {
  const known = new Set(words);
  return (before, after) => {
    if (before.endsWith("\u00ad")) return false;
    const head = /[\p{L}\u2010-]+$/u.exec(before)?.[0].slice(0, -1) ?? "";
    const tail = /^\p{L}+/u.exec(after)?.[0] ?? "";
    const whole = `${head}${tail}`.toLowerCase();
    const hyphenated = `${head}-${tail}`.toLowerCase();
    return !known.has(whole) && (known.has(hyphenated) || /[-\u2010]/.test(head) || isCompound(hyphenated));
  };
}

/** Words that are seldom the first syllable of another one, unless an ending follows ("low-" + "er"). */
const FIRST_WORDS =
  /^(?:self|low|high|long|short|well|half|cross|non|quasi|first|second|third|fourth|one|two|three|four|five|six|ten|zero)-(?!(?:ers?|est|ly|ness|ings?|ish|ed|en|ened|ening|ages?|aries|ary)$)/;

/** First syllables of many other words ("in-" + "surance", "pre-" + "mium"): only with what insurers put behind them. */
const COMPOUNDS = [
  /^all-(?:risks?|inclusive|cause|day|in|weather)$/,
  /^anti-(?:theft|fraud|lock|money|social|inflammatory|virus)$/,
  /^co-(?:pay|pays|payments?|insurance|insured|insurers?|owners?|owned|applicants?|borrowers?|workers?)$/,
  /^ex-(?:gratia|spouses?|wife|husband|partners?|works|employees?)$/,
  /^in-(?:networks?|house|home|person|patients?|force|kind|hospital)$/,
  /^out-(?:of|network|patients?)$/,
  /^post-(?:operative|treatment|tax|natal|loss|accident|hospital|hospitalization|discharge|mortem|surgery)$/,
  /^pre-(?:existing|approv(?:ed|al)|authori[sz](?:ed|ation)|certif(?:ied|ication)|tax|admission|operative|natal|loss|treatment)$/,
];

function isCompound(word: string): boolean {
  return FIRST_WORDS.test(word) || COMPOUNDS.some((compound) => compound.test(word));
}
