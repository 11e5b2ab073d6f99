import { workerData } from "node:worker_threads";
import { normalisePages } from "@pipeline/parsing";
import { FORMATS } from "@pipeline/runtime";
import { z } from "zod";
import { answerFromThread } from "./answer-from-thread.ts";

/** The thread's side of normalise-stored.ts. */
const input = z
  .object({
    pages: z.array(z.object({ page_number: z.number(), text: z.string() })),
    format: z.enum(FORMATS),
  })
  .parse(workerData);

answerFromThread(() => normalisePages(input));
