import { type ParsedDocument, parseDocument } from "@pipeline/parsing";
import type { Parser, StageContext } from "../../stage-handler.ts";
import { storeDocument } from "./store-document.ts";

/** Reads documents on this machine, each in a process of its own. */
export const LOCAL_PARSER: Parser = {
  parse: async (job, context) => storeDocument(job, { document: await readLocally(context) }),
};

export async function readLocally(context: StageContext): Promise<ParsedDocument> {
  const { path, format } = await context.file();
  return parseDocument({
    path,
    format,
    signal: context.signal,
    onProgress: (counters) => context.progress(counters),
    ...(context.parseLimits === undefined ? {} : { limits: context.parseLimits }),
  });
}
