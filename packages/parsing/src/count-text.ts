/** A page of plain text has some 3,000 characters in 50 lines; where a service lays it out for itself, hardly ever less. */
const PAGE_CHARS = 2_000;
const PAGE_LINES = 40;

/** How many pages so much text may fill at most, laid out as usual; at least one. */
export function pagesOf({ chars, lines }: { chars: number; lines: number }): number {
  return Math.max(1, Math.ceil(chars / PAGE_CHARS), Math.ceil(lines / PAGE_LINES));
}

const LINE_FEED = 0x0a;
const FORM_FEED = 0x0c;

/** Plain text and Markdown: a form feed begins a page, unless nothing follows it. */
export function countTextPages(bytes: Uint8Array): number {
  let pages = 0;
  let begun = 0;
  let lines = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === LINE_FEED) lines += 1;
    if (byte !== FORM_FEED) continue;
    pages += pagesOf({ chars: at - begun, lines });
    begun = at + 1;
    lines = 0;
  }
  const isOver = pages > 0 && begun === bytes.length;
  return isOver ? pages : pages + pagesOf({ chars: bytes.length - begun, lines });
}
