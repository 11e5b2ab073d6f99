/**
 * Text as it is stored and searched: NFC, `\n` line ends, no control, zero-width or direction characters,
 * no lone surrogates, no trailing blanks, at most one blank line in a row. Words stay as they are.
 */
export function normaliseText(text: string): string {
  return text
    .replace(/\p{Cs}/gu, "")
    .normalize("NFC")
    .replace(/\r\n?|[\f\v\u0085\u2028\u2029]/g, "\n")
    .replace(UNSEEN, "")
    .replace(LONE_JOINERS, "")
    .replace(/[\ufb00-\ufb06]/g, (ligature) => ligature.normalize("NFKC"))
    .replace(/[\u00a0\u2007\u202f]/g, " ")
    .replace(/[^\S\n]+$/gm, "")
    .replace(/\n{3,}/g, "\n\n")
    .replace(/^\n+|\n+$/g, "");
}

/** Controls, soft hyphen, zero-width space, byte order mark, word joiner, direction marks, noncharacters. */
const UNSEEN =
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what is removed
  /[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff]/g;

/** The two joiners change words in Persian and Indic scripts and hold emoji together; next to Latin they are litter. */
const LONE_JOINERS = /(?<![^\u0000-\u007f])[\u200c\u200d]|[\u200c\u200d](?![^\u0000-\u007f])/g; // oxlint-disable-line eslint/no-control-regex -- the range is ASCII
