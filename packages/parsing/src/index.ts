export { checkContent } from "./check-content.ts";
export { FORMATS, formatOfMime, mimeOfFilename, SUPPORTED_MIME_TYPES } from "./formats.ts";
export type { Format } from "./formats.ts";
export { normalisePages } from "./normalise-pages.ts";
export { parseDocument } from "./parse-document.ts";
export type { ParseInput } from "./parse-document.ts";
export { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
export type { ParseLimits } from "./parse-limits.ts";
export type { ParsedDocument, ParsedPage, ParseNote } from "./parsed-document.ts";
