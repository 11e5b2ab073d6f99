import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { ask, closeStarted, findJob, parse, readResult, refusal, start, upload } from "./emulator.fixture.ts";
import { JOB_ERRORS } from "./job.ts";

const SAMPLES = join(import.meta.dirname, "../../../../samples");
const THREE_PAGES = "# One\n\nfirst page\f# Two\n\nsecond page\f# Three\n\nthird page";

const itemSchema = z.looseObject({ type: z.string() });

/** A busy machine is slow. */
const PATIENTLY = { timeout: 30_000 };

afterEach(closeStarted);

describe("a job", () => {
  test("is pending at first, and has its result at the end", async () => {
    const emulator = await start({ parseMs: [600_000, 600_000] });
    const response = await upload(emulator, { content: THREE_PAGES });
    expect(response.status).toBe(200);
    const answer = z.record(z.string(), z.unknown()).parse(await response.json());
    expect(answer).toEqual({ id: expect.any(String), status: "PENDING", error_code: null, error_message: null });
    const id = String(answer["id"]);
    expect(await findJob(emulator, id)).toEqual({ id, status: "PENDING" });
    const early = await ask(emulator, `/api/v1/parsing/job/${id}/result/markdown`);
    expect(await refusal(early)).toMatchObject({ status: 404, detail: expect.stringContaining(id) });

    emulator.finishJobs();
    await emulator.settled();
    expect(await findJob(emulator, id)).toEqual({ id, status: "SUCCESS" });
    expect(await readResult(emulator, { id, kind: "markdown" })).toMatchObject({
      markdown: "# One\n\nfirst page\n\n---\n\n# Two\n\nsecond page\n\n---\n\n# Three\n\nthird page",
    });
    expect((await readResult(emulator, { id, kind: "text" })).text).toContain("One\n\nfirst page\n\n---\n\nTwo");
    const { pages } = await readResult(emulator, { id, kind: "json" });
    expect(pages?.map(({ page, status }) => [page, status])).toEqual([
      [1, "OK"],
      [2, "OK"],
      [3, "OK"],
    ]);
    expect(pages?.[0]?.["items"]).toMatchObject([
      { type: "heading", lvl: 1, value: "One", bBox: { x: 0 } },
      { type: "text", value: "first page" },
    ]);
  });

  test("of a PDF has the text of each page", async () => {
    const emulator = await start();
    const content = new Uint8Array(await readFile(join(SAMPLES, "benefits-booklet.pdf")));
    const { id, status } = await parse(emulator, { name: "booklet", type: "application/pdf", content });
    expect(status).toBe("SUCCESS");
    const { pages, job_metadata } = await readResult(emulator, { id, kind: "json" });
    expect(pages?.length).toBeGreaterThan(3);
    expect(job_metadata["job_pages"]).toBe(pages?.length);
    for (const page of pages ?? []) expect(page.md.length).toBeGreaterThan(100);
    const items = z.array(itemSchema).parse(pages?.flatMap((page) => page["items"]));
    expect(new Set(items.map(({ type }) => type))).toEqual(new Set(["heading", "text"]));
  });

  test("of a Word file has its tables", async () => {
    const emulator = await start();
    const content = new Uint8Array(await readFile(join(SAMPLES, "home-policy.docx")));
    const { id } = await parse(emulator, { name: "home-policy.docx", content });
    const { pages } = await readResult(emulator, { id, kind: "json" });
    const items = z.array(itemSchema).parse(pages?.flatMap((page) => page["items"]));
    expect(items.find(({ type }) => type === "table")).toMatchObject({
      md: expect.stringMatching(/^\|/),
      rows: expect.arrayContaining([expect.arrayContaining([expect.any(String)])]),
      html: expect.stringMatching(/^<table><tr><td>/),
      csv: expect.stringMatching(/^"/),
    });
  });

  test("is found under the older address as well", async () => {
    const emulator = await start();
    const { id } = await parse(emulator);
    const old = await ask(emulator, `/api/parsing/job/${id}`);
    expect(await old.json()).toEqual({ id, status: "SUCCESS" });
    const parameters = await ask(emulator, `/api/parsing/job/${id}/parameters`);
    expect(await parameters.json()).toEqual({});
    const extensions = await ask(emulator, "/api/parsing/supported_file_extensions");
    expect(await extensions.json()).toContain(".pdf");
  });

  test("shapes its text as it was asked to", async () => {
    const emulator = await start();
    const fields = {
      target_pages: "0,2",
      page_separator: "==={pageNumber}===",
      page_prefix: "<{pageNumber}>",
      page_suffix: "</>",
    };
    const { id } = await parse(emulator, { content: THREE_PAGES, fields });
    expect((await readResult(emulator, { id, kind: "text" })).text).toBe(
      "<1>One\n\nfirst page</>===3===<3>Three\n\nthird page</>",
    );
    const { id: short } = await parse(emulator, { content: THREE_PAGES, fields: { max_pages: "1" } });
    expect((await readResult(emulator, { id: short, kind: "markdown" })).markdown).toBe("# One\n\nfirst page");
  });

  test.for(JOB_ERRORS)("ends with %s when its file says so", async (code) => {
    const emulator = await start();
    const { id, ...job } = await parse(emulator, { content: `a claim\n%emulate:${code}` });
    expect(job).toMatchObject({ status: "ERROR", error_code: code, error_message: expect.any(String) });
    expect((await ask(emulator, `/api/v1/parsing/job/${id}/result/text`)).status).toBe(404);
    expect(emulator.stats().billed_credits).toBe(0);
  });

  test.for([
    ["a PDF that is none", { name: "a.pdf", content: "%PDF-1.7 nothing follows" }, "PDF_IS_BROKEN"],
    ["an empty file", { name: "a.txt", content: "" }, "NO_DATA_FOUND_IN_FILE"],
    ["a picture", { name: "a.png", content: "\u0089PNG" }, "UNSUPPORTED_FILE_TYPE"],
    ["an unknown tier", { fields: { tier: "golden", version: "latest" } }, "INVALID_TIER_VERSION_COMBINATION"],
    ["no page that is there", { fields: { target_pages: "7" } }, "NO_DATA_FOUND_IN_FILE"],
  ] as const)("of %s ends with an error of its own", async ([, file, code]) => {
    const emulator = await start();
    expect(await parse(emulator, file)).toMatchObject({ status: "ERROR", error_code: code });
  });

  test("with pages that cannot be read is a partial success, or none where too many fail", async () => {
    const emulator = await start();
    const file = { name: "plan.emulate-failed_pages=2.txt", content: THREE_PAGES };
    const mode = { replace_failed_page_mode: "error_message" };
    const { id, status } = await parse(emulator, { ...file, fields: mode });
    expect(status).toBe("PARTIAL_SUCCESS");
    const { pages } = await readResult(emulator, { id, kind: "json" });
    expect(pages?.map((page) => page.status)).toEqual(["OK", "ERROR", "OK"]);
    expect(pages?.[1]?.md).toContain("Page 2");
    expect(emulator.stats()).toMatchObject({ billed_pages: 2, billed_credits: 6 });

    const strict = await parse(emulator, { ...file, fields: { page_error_tolerance: "0.1" } });
    expect(strict).toMatchObject({ status: "ERROR", error_code: "PDF_IS_BROKEN" });
  });

  test("that never ends runs into its timeout, which grows with its pages", async () => {
    const emulator = await start();
    const fields = { job_timeout_in_seconds: "0.01", job_timeout_extra_time_per_page_in_seconds: "0.01" };
    const job = await parse(emulator, { name: "emulate-never_ends.txt", fields });
    expect(job).toMatchObject({ status: "ERROR", error_code: "TIMEOUT" });
    const slow = await start({ parseMs: [30, 30] });
    expect(await parse(slow, { fields: { job_timeout_in_seconds: "0.02" } })).toMatchObject({ error_code: "TIMEOUT" });
    const roomy = { job_timeout_in_seconds: "0.02", job_timeout_extra_time_per_page_in_seconds: "0.02" };
    expect(await parse(slow, { fields: roomy })).toMatchObject({ status: "SUCCESS" });
  });

  test("can be cancelled by the service", async () => {
    const emulator = await start();
    expect(await parse(emulator, { name: "emulate-cancelled.txt" })).toMatchObject({ status: "CANCELLED" });
    expect(emulator.stats().billed_credits).toBe(0);
  });
});

describe("refusals", () => {
  test("without a key, and with a wrong one", async () => {
    const emulator = await start({ apiKeys: ["llx-good"] });
    const path = "/api/v1/parsing/supported_file_extensions";
    expect(await refusal(await fetch(`${emulator.url}${path}`))).toEqual({ status: 401, detail: "Not authenticated" });
    const wrong = await ask(emulator, path, { headers: { authorization: "Bearer llx-wrong" } });
    expect(await refusal(wrong)).toMatchObject({ status: 401, detail: expect.stringContaining("region") });
    const good = await ask(emulator, path, { headers: { authorization: "Bearer llx-good" } });
    expect(good.status).toBe(200);
  });

  test("a tier without a version, and nothing to parse", async () => {
    const emulator = await start();
    const tier = await upload(emulator, { fields: { tier: "fast" } });
    expect(await refusal(tier)).toEqual({ status: 400, detail: "Must specify a version with a tier" });
    const nothing = new FormData();
    nothing.set("language", "en");
    const response = await ask(emulator, "/api/v1/parsing/upload", { method: "POST", body: nothing });
    expect((await refusal(response)).status).toBe(400);
    expect(emulator.stats().jobs).toEqual([]);
  });

  test.for([
    ["max_pages", "many"],
    ["target_pages", "2-1"],
    ["do_not_cache", "perhaps"],
    ["replace_failed_page_mode", "guess"],
    ["webhook_configurations", "{"],
    ["webhook_url", "https://elsewhere.example.com/hook"],
    ["webhook_url", `http://127.0.0.1/${"a".repeat(200)}`],
  ] as const)("%s=%s names the field", async ([field, value]) => {
    const emulator = await start();
    const refused = await refusal(await upload(emulator, { fields: { [field]: value } }));
    expect(refused).toMatchObject({
      status: 422,
      detail: [{ loc: ["body", field], msg: expect.any(String), type: expect.any(String) }],
    });
  });

  test("a body that is no form, though it says so", async () => {
    const emulator = await start();
    const headers = { "content-type": "multipart/form-data; boundary=x" };
    const response = await ask(emulator, "/api/v1/parsing/upload", { method: "POST", headers, body: "nonsense" });
    expect((await refusal(response)).status).toBe(400);
  });

  test("a file over the limit, as a field and as a whole body", async () => {
    const emulator = await start({ maxFileBytes: 10 });
    expect((await refusal(await upload(emulator, { content: "eleven byte" }))).status).toBe(413);
    expect((await refusal(await upload(emulator, { content: "x".repeat(1_100_000) }))).status).toBe(413);
    expect((await upload(emulator, { content: "ten bytes!" })).status).toBe(200);
  });

  test("an upload beyond the credits, and one whose file asks for it", async () => {
    const emulator = await start({ creditLimit: 3 });
    await parse(emulator, { content: "one page" });
    expect((await refusal(await upload(emulator, { content: "another" }))).status).toBe(402);
    const free = await start();
    expect((await refusal(await upload(free, { content: "emulate:upload_status=403" }))).status).toBe(403);
  });

  test("uploads above the account's rate, with nothing on how long to wait", async () => {
    let time = Date.now();
    const emulator = await start({ uploadsPerMinute: 2, now: () => time });
    for (const content of ["one", "two"]) expect((await upload(emulator, { content })).status).toBe(200);
    const response = await upload(emulator, { content: "three" });
    expect(response.headers.get("retry-after")).toBeNull();
    expect((await refusal(response)).status).toBe(429);
    time += 30_000;
    expect((await upload(emulator, { content: "three" })).status).toBe(200);
  });

  test("addresses that do not exist", async () => {
    const emulator = await start();
    expect(await refusal(await ask(emulator, "/api/v3/parse"))).toEqual({ status: 404, detail: "Not Found" });
  });

  test("jobs that do not exist", async () => {
    const emulator = await start();
    const unknown = "/api/v1/parsing/job/7e4f9a52-30a4-4d5b-8a3c-0f6c1b2a9d10";
    expect((await refusal(await ask(emulator, unknown))).status).toBe(404);
    expect((await refusal(await ask(emulator, `${unknown}/result/json`))).status).toBe(404);
    expect((await refusal(await ask(emulator, "/api/v1/parsing/job/nonsense"))).status).toBe(400);
  });
});

describe("faults", () => {
  test("a rate limit says nothing of how long to wait", async () => {
    const emulator = await start();
    emulator.failNext("rate_limited");
    const response = await upload(emulator);
    expect(response.headers.get("retry-after")).toBeNull();
    expect((await refusal(response)).status).toBe(429);
    expect(emulator.stats()).toMatchObject({
      answers: { "POST /api/v1/parsing/upload": { "429": 1 } },
      faults: { rate_limited: 1 },
      jobs: [],
    });
  });

  test("credits that are used up", async () => {
    const emulator = await start({ rates: { quota: 1 } });
    expect((await refusal(await upload(emulator))).status).toBe(402);
    // What costs nothing is still answered.
    expect((await ask(emulator, "/api/v1/parsing/supported_file_extensions")).status).toBe(200);
  });

  test("a submission whose answer is cut off leaves a job that nobody knows, and one more is no mistake", async () => {
    const emulator = await start();
    emulator.failNext("half_body");
    const response = await upload(emulator);
    await expect(response.text()).rejects.toThrow(/terminated|closed/);
    await emulator.settled();
    expect(emulator.stats().jobs).toMatchObject([{ status: "SUCCESS", is_answer_lost: true, credits: 3 }]);

    await parse(emulator, { fields: { do_not_cache: "true" } });
    expect(emulator.stats()).toMatchObject({
      paid_again_count: 0,
      files: [{ job_count: 2, billed_count: 2, lost_count: 1 }],
    });
    await parse(emulator, { fields: { do_not_cache: "true" } });
    expect(emulator.stats().paid_again_count).toBe(1);
  });

  test("the same seed gives the same faults to the same files and polls, in whatever order they come", async () => {
    const rates = { server_error: 0.2, rate_limited: 0.2, half_body: 0.2 };
    const names = Array.from({ length: 20 }, (_, index) => `file ${index}`);
    const outcomes = async (seed: number, contents: string[]): Promise<string[]> => {
      const emulator = await start({ seed, rates });
      const found = await Promise.all(
        contents.map(async (content) => {
          const response = await upload(emulator, { content });
          const body = await response.text().catch(() => "cut");
          const id =
            response.status === 200 && body !== "cut" ? z.object({ id: z.string() }).parse(JSON.parse(body)).id : "";
          const polled = id === "" ? undefined : await ask(emulator, `/api/v1/parsing/job/${id}`);
          return `${content}: ${response.status} ${body === "cut"} ${polled?.status}`;
        }),
      );
      return found.toSorted();
    };
    const first = await outcomes(3, names);
    expect(new Set(first.map((line) => line.split(": ")[1])).size).toBeGreaterThan(4);
    expect(await outcomes(3, names.toReversed())).toEqual(first);
    expect(await outcomes(4, names)).not.toEqual(first);
  });
});

describe("billing", () => {
  test("is by page and tier", async () => {
    const emulator = await start();
    const parseWith = (fields: Record<string, string>): Promise<unknown> =>
      parse(emulator, { content: THREE_PAGES, fields });
    await parseWith({ tier: "fast", version: "latest" });
    await parseWith({ tier: "agentic_plus", version: "2026-06-15" });
    await parseWith({ parse_mode: "parse_page_without_llm" });
    expect(emulator.stats().jobs.map(({ credits }) => credits)).toEqual([3, 135, 3]);
    expect(emulator.stats().billed_credits).toBe(141);
  });

  test("the same file with the same parameters is free for 48 hours", async () => {
    let time = Date.now();
    const emulator = await start({ now: () => time, billingDelayMs: 1_000 });
    await parse(emulator);
    time += 47 * 3_600_000;
    const { id } = await parse(emulator);
    expect(await readResult(emulator, { id, kind: "markdown" })).toMatchObject({
      job_metadata: { job_is_cache_hit: true, job_credits_usage: 0 },
    });
    expect(emulator.stats().files).toMatchObject([{ job_count: 2, billed_count: 1, cache_hit_count: 1 }]);

    await parse(emulator, { fields: { language: "de" } });
    await parse(emulator, { fields: { do_not_cache: "true" } });
    await parse(emulator, { fields: { invalidate_cache: "true" } });
    time += 2 * 3_600_000;
    await parse(emulator);
    time += 47 * 3_600_000;
    await parse(emulator, { fields: { page_prefix: "" } });
    const hits = emulator.stats().jobs.map((job) => job.is_cache_hit);
    expect(hits).toEqual([false, true, false, false, false, true, false]);
    time += 48 * 3_600_000;
    await parse(emulator);
    expect(emulator.stats().jobs.at(-1)).toMatchObject({ is_cache_hit: false, credits: 3 });
  });

  test("two jobs for one file at once are billed twice: nothing is cached before the first has ended", async () => {
    const emulator = await start({ parseMs: [600_000, 600_000] });
    await Promise.all([upload(emulator), upload(emulator)]);
    await expect
      .poll(() => emulator.stats().jobs.map(({ status }) => status), PATIENTLY)
      .toEqual(["RUNNING", "RUNNING"]);
    emulator.finishJobs();
    await emulator.settled();
    expect(emulator.stats()).toMatchObject({ billed_credits: 6, paid_again_count: 1 });
  });

  test("credits read 0 until billing has recorded them", async () => {
    let time = Date.now();
    const emulator = await start({ now: () => time });
    const { id } = await parse(emulator);
    const before = await readResult(emulator, { id, kind: "json" });
    expect(before.job_metadata).toEqual({
      credits_used: 0,
      job_credits_usage: 0,
      job_pages: 1,
      job_is_cache_hit: false,
    });
    time += 60_000;
    const after = await readResult(emulator, { id, kind: "json" });
    expect(after.job_metadata).toMatchObject({ credits_used: 3, job_credits_usage: 3 });
  });

  test("counts how often a job was looked at", async () => {
    const emulator = await start();
    const { id } = await parse(emulator);
    await readResult(emulator, { id, kind: "text" });
    expect(emulator.stats().jobs).toMatchObject([{ id, poll_count: 2, page_count: 1 }]);
    const stats: unknown = await (await fetch(`${emulator.url}/__emulator/stats`)).json();
    expect(stats).toEqual(emulator.stats());
  });
});
