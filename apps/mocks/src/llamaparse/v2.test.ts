import { LlamaCloud, toFile } from "@llamaindex/llama-cloud";
import { afterEach, describe, expect, test } from "vitest";
import { ask, closeStarted, KEY, refusal, start } from "./emulator.fixture.ts";
import type { LlamaParse } from "./start-llamaparse.ts";

const THREE_PAGES = "# One\n\nfirst page\f# Two\n\nsecond page\f# Three\n\nthird page";
const LATEST = { tier: "cost_effective", version: "latest" } as const;

afterEach(closeStarted);

function sdkFor(emulator: LlamaParse, maxRetries = 0): LlamaCloud {
  return new LlamaCloud({ apiKey: KEY, baseURL: emulator.url, maxRetries });
}

describe("the service's own SDK on the emulator", () => {
  test("uploads, waits and gets what it expands", async () => {
    const emulator = await start();
    const result = await sdkFor(emulator).parsing.parse(
      {
        ...LATEST,
        upload_file: await toFile(Buffer.from(THREE_PAGES), "plan.md"),
        user_metadata: { document: "7" },
        expand: ["markdown", "text", "items", "metadata", "job_metadata", "usage", "markdown_full"],
      },
      { pollingInterval: 0.01 },
    );
    expect(result.job).toMatchObject({
      status: "COMPLETED",
      tier: "cost_effective",
      name: "plan.md",
      error_message: null,
      usage: { credits: null },
      user_metadata: { document: "7" },
    });
    expect(result.markdown?.pages).toEqual([
      { page_number: 1, success: true, markdown: "# One\n\nfirst page", header: null, footer: null },
      { page_number: 2, success: true, markdown: "# Two\n\nsecond page", header: null, footer: null },
      { page_number: 3, success: true, markdown: "# Three\n\nthird page", header: null, footer: null },
    ]);
    expect(result.text?.pages[1]).toEqual({ page_number: 2, text: "Two\n\nsecond page" });
    expect(result.items?.pages[2]).toMatchObject({
      success: true,
      items: [{ type: "heading", level: 1 }, { type: "text" }],
    });
    expect(result.metadata?.pages.map(({ page_number }) => page_number)).toEqual([1, 2, 3]);
    expect(result.job_metadata).toEqual({ job_pages: 3, job_is_cache_hit: false });
    expect(result.markdown_full).toContain("# Two");
    expect(emulator.stats()).toMatchObject({ billed_pages: 3, billed_credits: 9, paid_again_count: 0 });
  });

  test("parses a file that was uploaded before", async () => {
    const emulator = await start();
    const sdk = sdkFor(emulator);
    const { id } = await sdk.files.create({ file: await toFile(Buffer.from("a claim"), "a.txt"), purpose: "parse" });
    const job = await sdk.parsing.create({ ...LATEST, tier: "fast", file_id: id });
    expect(job.status).toBe("PENDING");
    await emulator.settled();
    const result = await sdk.parsing.get(job.id, { expand: ["text"] });
    expect(result.text?.pages).toEqual([{ page_number: 1, text: "a claim" }]);
    expect(result.markdown).toBeUndefined();
    await expect(sdk.parsing.create({ ...LATEST, file_id: "nothing" })).rejects.toMatchObject({ status: 404 });
    await expect(sdk.parsing.create(LATEST)).rejects.toMatchObject({ status: 400 });
    const elsewhere = sdk.parsing.create({ ...LATEST, source_url: "https://example.com/a.pdf" });
    await expect(elsewhere).rejects.toMatchObject({ status: 400 });
  });

  test("takes the pages that it wants, counted from 1", async () => {
    const emulator = await start();
    const upload_file = await toFile(Buffer.from(THREE_PAGES), "plan.md");
    const page_ranges = { target_pages: "1,3", max_pages: 1 };
    const { text } = await sdkFor(emulator).parsing.parse(
      { ...LATEST, upload_file, page_ranges, expand: ["text"] },
      { pollingInterval: 0.01 },
    );
    expect(text?.pages.map(({ page_number }) => page_number)).toEqual([1, 3]);
  });

  test("sees which page failed, and a job that failed", async () => {
    const emulator = await start();
    const parseAs = async (name: string): Promise<string> => {
      const upload_file = await toFile(Buffer.from(THREE_PAGES), name);
      const { id } = await sdkFor(emulator).parsing.create({ ...LATEST, upload_file, disable_cache: true });
      await emulator.settled();
      return id;
    };
    const sdk = sdkFor(emulator);
    const partial = await sdk.parsing.get(await parseAs("emulate-failed_pages=2.md"), {
      expand: ["markdown", "items"],
    });
    expect(partial.job.status).toBe("COMPLETED");
    expect(partial.markdown?.pages[1]).toEqual({ page_number: 2, success: false, error: expect.any(String) });
    expect(partial.items?.pages.map(({ success }) => success)).toEqual([true, false, true]);

    const failed = await sdk.parsing.get(await parseAs("emulate-PDF_IS_PROTECTED.md"), { expand: ["markdown"] });
    expect(failed.job).toMatchObject({ status: "FAILED", error_message: expect.stringContaining("PDF_IS_PROTECTED") });
    expect(failed.markdown).toBeNull();
  });

  test("fails a job with more failed pages than it allows", async () => {
    const emulator = await start();
    const sdk = sdkFor(emulator);
    const upload_file = await toFile(Buffer.from(THREE_PAGES), "emulate-failed_pages=2.md");
    const processing_control = { job_failure_conditions: { allowed_page_failure_ratio: 0.05 } };
    const { id } = await sdk.parsing.create({ ...LATEST, upload_file, processing_control });
    await emulator.settled();
    expect((await sdk.parsing.get(id)).job.status).toBe("FAILED");
  });

  test("runs into the timeout that it set", async () => {
    const emulator = await start();
    const sdk = sdkFor(emulator);
    const upload_file = await toFile(Buffer.from("a claim"), "emulate-never_ends.md");
    const processing_control = { timeouts: { base_in_seconds: 0.01, extra_time_per_page_in_seconds: 0.01 } };
    const { id } = await sdk.parsing.create({ ...LATEST, upload_file, processing_control });
    await emulator.settled();
    expect((await sdk.parsing.get(id)).job.error_message).toContain("TIMEOUT");
  });

  test("cancels a job under way, once, and deletes what is at its end", async () => {
    const emulator = await start({ parseMs: [600_000, 600_000] });
    const sdk = sdkFor(emulator);
    const upload_file = await toFile(Buffer.from("a claim"), "a.txt");
    const { id } = await sdk.parsing.create({ ...LATEST, upload_file });
    await expect(sdk.parsing.delete(id)).rejects.toMatchObject({ status: 400 });
    expect(await sdk.parsing.cancel(id)).toMatchObject({ id, status: "CANCELLED" });
    await expect(sdk.parsing.cancel(id)).rejects.toMatchObject({ status: 400 });
    await emulator.settled();
    expect((await sdk.parsing.get(id)).job.status).toBe("CANCELLED");
    expect(await sdk.parsing.delete(id)).toEqual({ id, project_id: expect.any(String) });
    await expect(sdk.parsing.get(id)).rejects.toMatchObject({ status: 404 });
    expect(emulator.stats()).toMatchObject({ billed_credits: 0, jobs: [{ id, status: "CANCELLED" }] });
  });

  test("lists jobs page by page, newest first, and by status", async () => {
    const emulator = await start();
    const sdk = sdkFor(emulator);
    const ids: string[] = [];
    for (const name of ["a.txt", "emulate-PDF_IS_BROKEN.txt", "c.txt"]) {
      const upload_file = await toFile(Buffer.from("a claim"), name);
      ids.push((await sdk.parsing.create({ ...LATEST, upload_file })).id);
      await emulator.settled();
    }
    const listed: string[] = [];
    for await (const job of sdk.parsing.list({ page_size: 2 })) listed.push(job.id);
    expect(listed).toEqual(ids.toReversed());
    const failed = await sdk.parsing.list({ status: "FAILED" });
    expect(failed.items.map(({ id }) => id)).toEqual([ids[1]]);
  });

  test("knows the versions", async () => {
    const { latest, fast } = await sdkFor(await start()).parsing.listVersions();
    expect(fast).toContain(latest.fast);
  });

  test("gets over faults by itself, and its file is billed once", async () => {
    const emulator = await start();
    emulator.failNext("server_error", { route: "POST /api/v2/parse/upload" });
    emulator.failNext("rate_limited", { route: "GET /api/v2/parse/:id" });
    const upload_file = await toFile(Buffer.from("a claim"), "a.txt");
    const result = await sdkFor(emulator, 2).parsing.parse(
      { ...LATEST, upload_file, expand: ["text"] },
      { pollingInterval: 0.01 },
    );
    expect(result.text?.pages).toHaveLength(1);
    expect(emulator.stats()).toMatchObject({
      faults: { server_error: 1, rate_limited: 1 },
      billed_credits: 3,
      paid_again_count: 0,
    });
  });

  test("gets sixty files through a fifth of faults, each job known to it billed once", async () => {
    const rates = { server_error: 0.05, rate_limited: 0.05, half_body: 0.05, timeout: 0.05 };
    const emulator = await start({ rates, hangMs: 5 });
    const sdk = sdkFor(emulator);
    const insist = async <T>(call: () => Promise<T>): Promise<T> => {
      try {
        return await call();
      } catch {
        return insist(call);
      }
    };
    const parseOne = async (content: string): Promise<string | undefined> => {
      const upload_file = await toFile(Buffer.from(content), "a.txt");
      const { id } = await insist(() => sdk.parsing.create({ ...LATEST, upload_file }));
      await emulator.settled();
      expect((await insist(() => sdk.parsing.get(id))).job.status).toBe("COMPLETED");
      const { text } = await insist(() => sdk.parsing.get(id, { expand: ["text"] }));
      return text?.pages[0]?.text;
    };
    const contents = Array.from({ length: 60 }, (_, index) => `claim ${index}`);
    expect(await Promise.all(contents.map(parseOne))).toEqual(contents);
    const { faults, files, paid_again_count } = emulator.stats();
    expect(Object.values(faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(20);
    expect(files).toHaveLength(60);
    for (const file of files) expect(file.job_count - file.lost_count).toBe(1);
    expect(paid_again_count).toBe(0);
  });

  test("is refused with another key, and when the credits are used up", async () => {
    const emulator = await start({ apiKeys: ["llx-other"], creditLimit: 0 });
    await expect(sdkFor(emulator).parsing.list()).rejects.toMatchObject({ status: 401 });
    const sdk = new LlamaCloud({ apiKey: "llx-other", baseURL: emulator.url, maxRetries: 0 });
    const upload_file = await toFile(Buffer.from("a claim"), "a.txt");
    await expect(sdk.parsing.create({ ...LATEST, upload_file })).rejects.toMatchObject({ status: 402 });
  });
});

describe("refusals of v2", () => {
  test.for([
    ["no tier", { version: "latest" }, ["body", "tier"]],
    ["no version", { tier: "fast" }, ["body", "version"]],
    ["pages that are none", { ...LATEST, page_ranges: { target_pages: "0" } }, ["body", "page_ranges", "target_pages"]],
    [
      "a callback to elsewhere",
      { ...LATEST, webhook_configurations: [{ webhook_url: "https://example.com/hook" }] },
      ["body", "webhook_configurations", 0, "webhook_url"],
    ],
  ] as const)("%s", async ([, configuration, loc]) => {
    const emulator = await start();
    const body = new FormData();
    body.set("configuration", JSON.stringify(configuration));
    body.set("file", new File(["a claim"], "a.txt"));
    const response = await ask(emulator, "/api/v2/parse/upload", { method: "POST", body });
    expect(await refusal(response)).toMatchObject({ status: 422, detail: [{ loc }] });
  });

  test("a configuration that is no JSON, and a form without a file", async () => {
    const emulator = await start();
    const body = new FormData();
    body.set("configuration", "{");
    const withoutFile = await ask(emulator, "/api/v2/parse/upload", { method: "POST", body });
    expect(await refusal(withoutFile)).toMatchObject({ status: 422, detail: [{ loc: ["body", "file"] }] });
    body.set("file", new File(["a claim"], "a.txt"));
    const withoutJson = await ask(emulator, "/api/v2/parse/upload", { method: "POST", body });
    expect(await refusal(withoutJson)).toMatchObject({ status: 422, detail: [{ loc: ["body", "configuration"] }] });
  });

  test("an id that is none, and a list that cannot be", async () => {
    const emulator = await start();
    expect((await refusal(await ask(emulator, "/api/v2/parse/nonsense"))).status).toBe(400);
    expect((await refusal(await ask(emulator, "/api/v2/parse?status=LOST"))).status).toBe(422);
  });
});
