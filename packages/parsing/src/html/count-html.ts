import { pagesOf } from "../count-text.ts";

/** Elements whose content nobody sees; what follows such a tag up to its end is no text. */
const UNSEEN = ["script", "style", "noscript", "template"];
const CHARACTER_DATA = "<![cdata[";
const LINE = /^<(?:\/(?:p|li|tr|h[1-6]|dt|dd|pre|blockquote)|br)\b/;

/** How many pages an HTML page may fill when it is laid out. Goes through it once, whatever stands in it. */
export function countHtml(bytes: Buffer): number {
  // Only ASCII letters are looked at, and they are the same in every encoding that HTML may have here.
  const html = bytes.toString("latin1").toLowerCase();
  let chars = 0;
  let lines = 0;
  let at = 0;
  while (at < html.length) {
    const tag = html.indexOf("<", at);
    const end = tag === -1 ? html.length : tag;
    chars += html.slice(at, end).replace(/\s+/g, " ").trim().length;
    if (tag === -1) break;
    if (html.startsWith(CHARACTER_DATA, tag)) {
      at = tag + CHARACTER_DATA.length;
      continue;
    }
    if (LINE.test(html.slice(tag, tag + 12))) lines += 1;
    const over = html.indexOf(">", endOfContent(html, tag));
    at = over === -1 ? html.length : over + 1;
  }
  return pagesOf({ chars, lines });
}

/** Where the closing tag begins of an element that is not seen, or the comment ends; else where the tag begins itself. */
function endOfContent(html: string, tag: number): number {
  if (html.startsWith("!--", tag + 1)) return ending(html, "-->", tag);
  const name = UNSEEN.find((each) => html.startsWith(each, tag + 1));
  return name === undefined ? tag : ending(html, `</${name}`, tag);
}

function ending(html: string, mark: string, from: number): number {
  const found = html.indexOf(mark, from);
  return found === -1 ? html.length : found;
}
