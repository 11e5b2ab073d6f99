import { parentPort, workerData } from "node:worker_threads";
import { chunkDocument } from "@pipeline/chunking";
import { z } from "zod";

/** The thread's side of chunk-pages.ts: chunks what it was started with and ends. */
const input = z
  .object({
    pages: z.array(z.object({ page_number: z.number(), text: z.string() })),
    markdown: z.boolean(),
  })
  .parse(workerData);

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port between threads has no origin
parentPort?.postMessage(chunkDocument(input));
