export { checkContent } from "./check-content.ts";
export { countPages } from "./count-pages.ts";
export { normalisePages } from "./normalise-pages.ts";
export { parseDocument } from "./parse-document.ts";
export type { ParseInput } from "./parse-document.ts";
export { tooManyPages } from "./parse-errors.ts";
export { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
export type { ParseLimits } from "./parse-limits.ts";
export type { ParsedDocument, ParsedPage, ParseNote } from "./parsed-document.ts";
