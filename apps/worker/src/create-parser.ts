import type { LlamaParseSetup } from "@pipeline/composition";
import type { Parser } from "./stage-handler.ts";
import { createLlamaParseParser } from "./stages/parse/llamaparse-parser.ts";
import { LOCAL_PARSER } from "./stages/parse/local-parser.ts";

/** The configured parser: LlamaParse, or without it the one of this machine. */
export function createParser(llamaparse: LlamaParseSetup | undefined): Parser {
  return llamaparse === undefined ? LOCAL_PARSER : createLlamaParseParser(llamaparse);
}
