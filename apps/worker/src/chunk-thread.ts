import { workerData } from "node:worker_threads";
import { chunkDocument } from "@pipeline/chunking";
import { z } from "zod";
import { answerFromThread } from "./answer-from-thread.ts";

/** The thread's side of chunk-pages.ts. */
const input = z
  .object({
    pages: z.array(z.object({ page_number: z.number(), text: z.string() })),
    markdown: z.boolean(),
  })
  .parse(workerData);

answerFromThread(() => chunkDocument(input));
