import type { HtmlElement } from "./dom.ts";

/**
 * What the element's own style gives the property of that name, in lower case; "" where it gives none. As in a browser the
 * last declaration counts, unless one before it is important.
 */
export function styleOf(element: HtmlElement, property: string): string {
  const style = (element.getAttribute("style") ?? "").toLowerCase().replace(COMMENT, "");
  let value = "";
  let isImportant = false;
  for (const declaration of style.split(";")) {
    const colon = declaration.indexOf(":");
    if (colon === -1 || declaration.slice(0, colon).trim() !== property) continue;
    const [given = "", important] = declaration.slice(colon + 1).split("!");
    if (isImportant && important === undefined) continue;
    value = given.trim();
    isImportant = important !== undefined;
  }
  return value;
}

/** One without an end goes up to the style's. */
const COMMENT = /\/\*[^]*?(?:\*\/|$)/g;
