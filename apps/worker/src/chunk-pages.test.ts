import { chunkDocument } from "@pipeline/chunking";
import { describe, expect, it } from "vitest";
import { chunkPages } from "./chunk-pages.ts";
import { policyOf } from "./worker.fixture.ts";

const small = [{ page_number: 1, text: policyOf(3) }];
/** Longer than what is chunked without a thread. */
const large = [1, 2, 3].map((page_number) => ({ page_number, text: policyOf(110) }));

describe("chunking in the worker", () => {
  it.for([
    { size: "a short document", pages: small },
    { size: "a long one, in a thread,", pages: large },
  ])("$size gives the chunks of the chunker", async ({ pages }) => {
    const input = { pages, markdown: true };
    expect(await chunkPages(input, new AbortController().signal)).toEqual(chunkDocument(input));
  });

  it("a long document leaves the event loop free", async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await chunkPages({ pages: large, markdown: true }, new AbortController().signal);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  it("an abort ends the thread and the call, with the signal's reason", async () => {
    const over = new AbortController();
    const chunking = chunkPages({ pages: large, markdown: true }, over.signal);
    const reason = new Error("claim lost");
    over.abort(reason);
    await expect(chunking).rejects.toBe(reason);
  });
});
