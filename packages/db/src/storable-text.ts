/**
 * Text as Postgres can store it: NUL and halves of surrogate pairs, which parsers and cuts leave behind, become U+FFFD.
 * The length in UTF-16 code units stays, and with it every offset into the text.
 */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\u{FFFD}");
}

/** JSON text that jsonb accepts: the same characters are replaced, in keys too. */
export function storableJson(value: unknown): string {
  // JSON.stringify writes those characters as escapes of six characters; the lone dot steps over all the others.
  return JSON.stringify(value).replaceAll(/\\(?:u0000|ud[89a-f][0-9a-f]{2}|.)/g, (escape) =>
    escape.length === 6 ? "\u{FFFD}" : escape,
  );
}
