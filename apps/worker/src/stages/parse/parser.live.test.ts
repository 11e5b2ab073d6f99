import { setTimeout as delay } from "node:timers/promises";
import { readJob } from "@pipeline/db/testing";
import { createLlamaParseClient } from "@pipeline/llamaparse";
import { describe } from "vitest";
import { liveLlamaParse } from "../../testing/config.ts";
import { openWorkerBench, workThrough } from "../../worker.fixture.ts";
import { createLlamaParseParser } from "./llamaparse-parser.ts";
import { describeParser } from "./parser.suite.ts";

const live = liveLlamaParse();

/** A real job takes seconds, and is looked at when it is due. */
const LOOK_MS = 500;

describe.skipIf(live === undefined)("with TEST_LLAMAPARSE_API_KEY", () => {
  describeParser("LlamaParse on a real account", {
    parser: "llamaparse",
    open: async () => {
      if (live === undefined) throw new Error("No account is named.");
      const bench = await openWorkerBench();
      const { tier, version } = live;
      const client = createLlamaParseClient(live);
      const worker = bench.openWorker({ parser: createLlamaParseParser({ client, tier, version }) });
      return {
        bench,
        finish: async (jobId) => {
          for (;;) {
            await workThrough(worker);
            const { state } = await readJob(bench.database, jobId);
            if (state !== "waiting" && state !== "retryable") return;
            await delay(LOOK_MS);
          }
        },
        close: async () => {
          await client.close();
          await bench.close();
        },
      };
    },
  });
});
