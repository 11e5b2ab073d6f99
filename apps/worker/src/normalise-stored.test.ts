import { normalisePages } from "@pipeline/parsing";
import { describe, expect, it } from "vitest";
import { normaliseStored } from "./normalise-stored.ts";
import { runInThread } from "./run-in-thread.ts";
import { policyOf } from "./worker.fixture.ts";

const small = [{ page_number: 1, text: policyOf(3) }];
/** Longer than what is normalised without a thread. */
const large = [1, 2, 3].map((page_number) => ({ page_number, text: policyOf(110) }));

describe("normalising in the worker", () => {
  it.for([
    { size: "a short document", pages: small },
    { size: "a long one, in a thread,", pages: large },
  ])("$size gives what the parser's package makes of it", async ({ pages }) => {
    const input = { pages, format: "markdown" as const };
    expect(await normaliseStored(input, new AbortController().signal)).toEqual(normalisePages(input));
  });

  it("a long document leaves the event loop free", async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await normaliseStored({ pages: large, format: "markdown" }, new AbortController().signal);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  it("a long document without text is no_text, from the thread too", async () => {
    const pages = [{ page_number: 1, text: " ".repeat(600_000) }];
    await expect(normaliseStored({ pages, format: "text" }, new AbortController().signal)).rejects.toMatchObject({
      name: "AppError",
      kind: "permanent",
      code: "no_text",
    });
  });

  it("an abort ends the thread and the call, with the signal's reason", async () => {
    const over = new AbortController();
    const normalising = normaliseStored({ pages: large, format: "markdown" }, over.signal);
    const reason = new Error("claim lost");
    over.abort(reason);
    await expect(normalising).rejects.toBe(reason);
  });

  it("a thread that outgrows its heap ends alone, with parse_memory_limit", async () => {
    const entry = new URL("normalise-thread.ts", import.meta.url);
    const input = { pages: [{ page_number: 1, text: "ab\u00a0\n".repeat(2_000_000) }], format: "text" };
    const { signal } = new AbortController();
    await expect(runInThread({ entry, input, signal, heapMb: 32 })).rejects.toMatchObject({
      kind: "permanent",
      code: "parse_memory_limit",
    });
  });
});
