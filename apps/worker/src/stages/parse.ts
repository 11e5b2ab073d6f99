import type { StageHandler } from "../stage-handler.ts";

/** Reads the verified file into pages, by the parser that is configured. */
export const parse: StageHandler = (job, context) => context.parser.parse(job, context);
