/**
 * Text as it is stored and searched: NFC, `\n` line ends, no control, zero-width or direction characters,
 * no lone surrogates, no trailing blanks, at most one blank line in a row. Words stay as they are.
 * The time is linear in the length, whatever the text.
 */
export function normaliseText(text: string): string {
  return text
    .replace(/\p{Cs}/gu, "")
    .replace(/\r\n?|[\f\v\u0085\u2028\u2029]/g, "\n")
    .replace(UNSEEN, "")
    .replace(LONE_JOINERS, "")
    .replace(THIRTY_MARKS, "$&\u034f")
    .normalize("NFC")
    .replace(/[\ufb00-\ufb06]/g, (ligature) => ligature.normalize("NFKC"))
    .replace(/[\u00a0\u2007\u202f]/g, " ")
    .replace(TRAILING_BLANKS, "")
    .replace(/\n{3,}/g, "\n\n")
    .replace(/^\n+|\n+$/g, "");
}

/** Controls, soft hyphen, zero-width space, byte order mark, word joiner, direction marks, noncharacters. */
const UNSEEN =
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what is removed
  /[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff]/g;

/** The two joiners change words in Persian and Indic scripts and hold emoji together; next to Latin they are litter. */
const LONE_JOINERS = /(?<![^\u0000-\u007f])[\u200c\u200d]|[\u200c\u200d](?![^\u0000-\u007f])/g; // oxlint-disable-line eslint/no-control-regex -- the range is ASCII

/**
 * Composing sorts the marks behind a letter, which takes quadratic time: 40,000 of them take 0.3 s. So a combining
 * grapheme joiner parts them after every 30, as the Stream-Safe Text Format has it (Unicode Standard Annex 15, section 13).
 * No language puts more than a few marks on a letter, so other text has no such run. Every mark counts, also those that
 * are not sorted, because JavaScript knows no combining classes.
 */
const THIRTY_MARKS = /[\p{M}--\u034f]{30}(?=[\p{M}--\u034f])/gv;

/** The lookbehind lets a run of blanks be tried from its start alone; from each of its blanks it would be quadratic. */
const TRAILING_BLANKS = /(?<![^\S\n])[^\S\n]+(?=\n|$)/g;
