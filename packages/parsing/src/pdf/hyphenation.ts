/**
 * What becomes of a hyphen at a line's end: it goes ("infor-" + "mation"), it stays ("long-" + "term"), or it stands for
 * the rest of the word and a space follows it ("pre-" + "and postnatal").
 */
export type LineEndHyphen = "gone" | "kept" | "suspended";

/**
 * Tells that by the way the document writes the word elsewhere: "infor-" + "mation" is "information", "long-" + "term" stays
 * "long-term" where that stands somewhere. Where the word occurs once only, the hyphen goes, except in words that have
 * another one ("out-of-" + "network"), in compounds that are written with one ("self-" + "insured"), before a capital
 * ("Kfz-" + "Versicherung") and before what joins two words that end alike ("Kranken-" + "und Pflegeversicherung").
 */
export function hyphensByUsage(words: Iterable<string>): (before: string, after: string) => LineEndHyphen {
  const known = new Set(words);
  return (before, after) => {
    if (before.endsWith("\u00ad")) return "gone";
    const word = cutWord(before, after);
    const isOneWord = known.has(`${word.head}${word.tail}`.toLowerCase());
    if (JOINING.test(after) && !isOneWord) return "suspended";
    if (/^\p{Lu}/u.test(word.tail)) return "kept";
    return !isOneWord && isHyphenated(word, known) ? "kept" : "gone";
  };
}

interface CutWord {
  head: string;
  tail: string;
}

function cutWord(before: string, after: string): CutWord {
  const head = /[\p{L}\u2010-]+$/u.exec(before)?.[0].slice(0, -1) ?? "";
  const tail = /^\p{L}+/u.exec(after)?.[0] ?? "";
  return { head, tail };
}

function isHyphenated({ head, tail }: CutWord, known: ReadonlySet<string>): boolean {
  const hyphenated = `${head}-${tail}`.toLowerCase();
  return known.has(hyphenated) || /[-\u2010]/.test(head) || isCompound(hyphenated);
}

/** "to" is also a syllable ("pagamen-" + "to"), so a word with a hyphen of its own must follow it ("short-" + "to long-term"). */
const JOINING = /^(?:(?:und|oder|bzw\.|sowie|and|or)(?=\s|$)|to\s+(?:\p{L}+\s+)?\p{L}+[-\u2010])/iu;

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
