import { stemmer } from "stemmer";
import { STOP_WORDS } from "./stop-words.ts";

/** Characters of scripts that write words without spaces, or glue endings to them: cut into pairs, not words. */
const UNSPACED =
  "[[\\p{L}\\p{M}]&&[\\p{scx=Han}\\p{scx=Hira}\\p{scx=Kana}\\p{scx=Hang}\\p{scx=Thai}\\p{scx=Laoo}\\p{scx=Khmr}\\p{scx=Mymr}]]";
const WORD = `[[\\p{L}\\p{N}]--${UNSPACED}][[\\p{L}\\p{N}\\p{M}]--${UNSPACED}]*`;
/** Each position offers one way on, so matching never backtracks and stays linear on any input. */
const TOKEN = new RegExp(
  `${UNSPACED}+|${WORD}(?:(?:[\\-\\u2010\\u2013\\/_'\\u2019&]|[.,:](?=\\p{N}))${WORD})*|[%$€£]`,
  "gv",
);

const SYMBOL_WORDS: ReadonlyMap<string, string> = new Map([
  ["%", "percent"],
  ["$", "dollar"],
  ["€", "euro"],
  ["£", "pound"],
]);
const LETTERS_WITHOUT_DECOMPOSITION: ReadonlyMap<string, string> = new Map([
  ["ß", "ss"],
  ["æ", "ae"],
  ["œ", "oe"],
  ["ø", "o"],
  ["ł", "l"],
  ["đ", "d"],
  ["ı", "i"],
]);
/** The stemmer's patterns backtrack; no English word is longer, and longer runs are codes or noise. */
const LONGEST_STEMMED = 32;
/** "HX-2291" is also found as "HX2291"; longer chains are paths and lists, not codes. */
const LONGEST_COMPOUND = 40;

/**
 * Calls `visit` with what the text is about, in order: stemmed words without stop words, plain numbers
 * ("$1,500.00" → "dollar", "1500"), the parts and the whole of codes ("hx2291", "hx", "2291"), and character pairs
 * of scripts without spaces. Case, diacritics, ligatures and width are folded. Linear in the text's length.
 */
export function visitTerms(text: string, visit: (term: string) => void): void {
  for (const token of foldCharacters(text).match(TOKEN) ?? []) {
    if (isUnspaced(token)) visitPairs(token, visit);
    else visitToken(token, visit);
  }
}

function foldCharacters(text: string): string {
  // oxlint-disable-next-line no-control-regex -- the range is ASCII, for which the rest would change nothing
  if (/^[\x00-\x7f]*$/.test(text)) return text.toLowerCase();
  return text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[\u0300-\u036f\u00ad\u200b\ufeff]+/g, "")
    .replace(/[ßæœøłđı]/g, (letter) => LETTERS_WITHOUT_DECOMPOSITION.get(letter) ?? letter)
    .normalize("NFC");
}

const FIRST_UNSPACED = new RegExp(`^${UNSPACED}`, "v");

function isUnspaced(token: string): boolean {
  return token.charCodeAt(0) > 0x7f && FIRST_UNSPACED.test(token);
}

function visitPairs(run: string, visit: (term: string) => void): void {
  let previous = "";
  let length = 0;
  for (const character of run) {
    if (length > 0) visit(previous + character);
    previous = character;
    length += 1;
  }
  if (length === 1) visit(run);
}

function visitToken(token: string, visit: (term: string) => void): void {
  if (/^[a-z0-9]+$/.test(token)) return visitWord(token, visit);
  const symbolWord = SYMBOL_WORDS.get(token);
  if (symbolWord !== undefined) return visit(symbolWord);
  if (/^\d+(?:,\d{3})*(?:\.\d+)?$/.test(token)) return visit(token.replaceAll(",", "").replace(/\.0+$/, ""));
  const parts = token.split(/[-\u2010\u2013/_&.,:]/).map(dropApostrophes);
  const whole = parts.join("");
  if (parts.length > 1 && whole.length <= LONGEST_COMPOUND) visitWord(whole, visit);
  for (const part of parts) visitWord(part, visit);
}

/** "insurer's" → "insurer", "l’assurance" → "assurance": the longest piece is the word. */
function dropApostrophes(part: string): string {
  let longest = "";
  for (const piece of part.split(/['\u2019]/)) if (piece.length > longest.length) longest = piece;
  return longest;
}

function visitWord(word: string, visit: (term: string) => void): void {
  if (STOP_WORDS.has(word)) return;
  visit(word.length <= LONGEST_STEMMED && /^[a-z]+$/.test(word) ? stemmer(word) : word);
}
