import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLlamaParseClient, type LlamaParseClient, type LlamaParseOptions, type ResultOptions } from "./client.ts";
import {
  describeJob,
  type LlamaParseLoopback,
  type LoopbackAnswer,
  markdownPage,
  sendJson,
  startLlamaParseLoopback,
} from "./llamaparse-loopback.fixture.ts";
import type { ProviderResult } from "./read-result.ts";

const apiKey = "llx-key-of-the-tests";
const FILE_TEXT = "%PDF-1.4 the customer's words";

let directory: string;
let path: string;
let loopback: LlamaParseLoopback;
let client: LlamaParseClient;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "llamaparse-test-"));
  path = join(directory, "Jane Doe's policy.pdf");
  await writeFile(path, FILE_TEXT);
});
afterAll(() => rm(directory, { recursive: true }));
beforeEach(async () => {
  loopback = await startLlamaParseLoopback();
  client = connect();
});
afterEach(async () => {
  await loopback.close();
  await client.close();
});

function connect(options: Partial<LlamaParseOptions> = {}): LlamaParseClient {
  return createLlamaParseClient({
    apiKey,
    baseUrl: loopback.baseUrl,
    tier: "agentic",
    version: "2026-01-01",
    mostAsks: 1,
    ...options,
  });
}

/** Every call, so that what holds for one can be asked of all. */
const CALLS: [string, (options?: { signal: AbortSignal }) => Promise<unknown>][] = [
  ["submit", (options) => client.submit({ path, format: "pdf", submissionId: "submission-1" }, options)],
  ["findJob", (options) => client.findJob({ submissionId: "submission-1", since: new Date() }, options)],
  ["status", (options) => client.status("job-1", options)],
  ["result", (options) => client.result("job-1", options)],
  ["cancel", (options) => client.cancel("job-1", options)],
  ["check", (options) => client.check(options)],
];

function text(body: string, status = 200): LoopbackAnswer {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  };
}

function strangersJob(id: string): Record<string, unknown> {
  return describeJob({ id, user_metadata: { submission_id: "another" } });
}

function answerPages(pages: unknown[], job: Record<string, unknown> = {}): void {
  loopback.answer = (response) => sendJson(response, { job: describeJob(job), markdown: { pages } });
}

describe("submit", () => {
  it("sends the file with what is wanted, under a name of ours, and answers with the provider's job", async () => {
    loopback.answer = (response) => sendJson(response, describeJob({ status: "PENDING" }));
    const job = await client.submit(
      {
        path,
        format: "pdf",
        submissionId: "submission-1",
        webhook: { url: "https://api.example.test/hook", signingSecret: "per job" },
        metadata: { environment: "test" },
      },
      { correlationId: "correlation-1" },
    );
    expect(job).toEqual({
      id: "job-1",
      status: "pending",
      submission_id: "submission-1",
      tier: "agentic",
      version: "2026-01-01",
      credits: null,
      failure: null,
    });
    const [request] = loopback.requests;
    expect(request).toMatchObject({
      method: "POST",
      path: "/api/v2/parse/upload",
      headers: { authorization: `Bearer ${apiKey}`, "x-correlation-id": "correlation-1" },
      file: { name: "submission-1.pdf", bytes: Buffer.from(FILE_TEXT) },
    });
    expect(request?.configuration).toEqual({
      tier: "agentic",
      version: "2026-01-01",
      page_ranges: { max_pages: 501 },
      processing_control: { timeouts: { base_in_seconds: 300, extra_time_per_page_in_seconds: 3 } },
      user_metadata: { environment: "test", submission_id: "submission-1", parse_version: "2026-01-01" },
      webhook_configurations: [
        {
          webhook_url: "https://api.example.test/hook",
          webhook_signing_secret: "per job",
          webhook_events: ["parse.success", "parse.partial_success", "parse.error", "parse.cancelled"],
          webhook_output_format: "json",
        },
      ],
    });
  });

  it("sends a large file whole, with its length", async () => {
    const large = join(directory, "large.txt");
    const bytes = Buffer.alloc(3_000_000, "0123456789");
    await writeFile(large, bytes);
    loopback.answer = (response) => sendJson(response, describeJob({ status: "PENDING" }));
    await client.submit({ path: large, format: "text", submissionId: "submission-1" });
    const [request] = loopback.requests;
    expect(request?.file?.bytes.equals(bytes)).toBe(true);
    expect(Number(request?.headers["content-length"])).toBeGreaterThan(bytes.length);
  });

  it("refuses an id that could not be asked for again", async () => {
    loopback.answer = (response) => sendJson(response, describeJob({ id: "../elsewhere" }));
    await expect(client.submit({ path, format: "pdf", submissionId: "s" })).rejects.toMatchObject({
      kind: "transient",
      code: "llamaparse_invalid_answer",
    });
  });
});

describe("findJob", () => {
  const since = new Date("2026-01-02T03:00:00Z");

  it("looks through the list from before the submission, page by page, until it finds it", async () => {
    loopback.answer = (response, { query }) => {
      const token = query.get("page_token");
      if (token === null) return sendJson(response, { items: [strangersJob("a")], next_page_token: "second+page" });
      return sendJson(response, {
        items: [strangersJob("b"), describeJob({ status: "RUNNING" })],
        next_page_token: "c",
      });
    };
    await expect(client.findJob({ submissionId: "submission-1", since })).resolves.toMatchObject({
      id: "job-1",
      status: "running",
    });
    expect(loopback.requests.map(({ path: asked }) => asked)).toEqual(["/api/v2/parse", "/api/v2/parse"]);
    expect(loopback.requests[0]?.query.get("created_at_on_or_after")).toBe("2026-01-02T02:50:00.000Z");
    expect(loopback.requests[1]?.query.get("page_token")).toBe("second+page");
  });

  it("answers undefined when the whole list holds none", async () => {
    const unlabelled = describeJob({ user_metadata: null });
    loopback.answer = (response) =>
      sendJson(response, { items: [strangersJob("a"), unlabelled], next_page_token: null });
    await expect(client.findJob({ submissionId: "submission-1", since })).resolves.toBeUndefined();
  });

  it("prefers a job that can still be used to one that failed", async () => {
    const items = [describeJob({ id: "failed", status: "FAILED" }), describeJob({ id: "alive", status: "PENDING" })];
    loopback.answer = (response, { query }) =>
      sendJson(response, query.has("page_token") ? { items: [items[1]] } : { items: [items[0]], next_page_token: "b" });
    await expect(client.findJob({ submissionId: "submission-1", since })).resolves.toMatchObject({ id: "alive" });
    loopback.answer = (response) => sendJson(response, { items: [items[0]] });
    await expect(client.findJob({ submissionId: "submission-1", since })).resolves.toMatchObject({ id: "failed" });
  });

  it("does not say that there is none when it cannot see the end of the list", async () => {
    loopback.answer = (response) => sendJson(response, { items: [strangersJob("a")], next_page_token: "again" });
    await expect(client.findJob({ submissionId: "submission-1", since })).rejects.toMatchObject({
      kind: "transient",
      code: "llamaparse_jobs_unlisted",
    });
    expect(loopback.requests.length).toBe(50);
  });
});

describe("status", () => {
  it.each([
    ["PENDING", "pending"],
    ["RUNNING", "running"],
    ["COMPLETED", "completed"],
    ["SUCCESS", "completed"],
    ["PARTIAL_SUCCESS", "completed"],
    ["A_WORD_OF_NEXT_YEAR", "running"],
  ])("takes %s for %s", async (word, status) => {
    loopback.answer = (response) => sendJson(response, { job: describeJob({ status: word, usage: { credits: 20 } }) });
    await expect(client.status("job-1")).resolves.toMatchObject({ status, credits: 20, failure: null });
  });

  it.each([
    ["UNSUPPORTED_FILE_TYPE", "permanent", "unsupported_type"],
    ["PDF_IS_PROTECTED", "permanent", "password_protected"],
    ["PDF_IS_BROKEN", "permanent", "damaged_file"],
    ["NO_DATA_FOUND_IN_FILE", "permanent", "no_text"],
    ["DOCUMENT_TOO_LARGE", "too_large", "llamaparse_too_large"],
    ["TOO_MANY_PAGES", "too_large", "too_many_pages"],
    ["TIMEOUT", "transient", "parse_timeout"],
    ["EXPIRED", "transient", "parse_timeout"],
    ["INVALID_TIER_VERSION_COMBINATION", "permanent", "llamaparse_configuration_invalid"],
    ["SOMETHING_NEW", "transient", "llamaparse_job_failed"],
  ])("tells why a job failed: %s", async (word, kind, code) => {
    for (const fields of [{ error_code: word }, { error_message: `Parsing failed (${word}): Jane Doe's policy` }]) {
      loopback.answer = (response) => sendJson(response, { job: describeJob({ status: "FAILED", ...fields }) });
      const { status, failure } = await client.status("job-1");
      expect({ status, failure }).toMatchObject({ status: "failed", failure: { kind, code } });
      expect(JSON.stringify([failure?.message, failure?.details])).not.toContain("Jane");
    }
  });

  it("tells that somebody cancelled it", async () => {
    loopback.answer = (response) => sendJson(response, { job: describeJob({ status: "CANCELLED" }) });
    await expect(client.status("job-1")).resolves.toMatchObject({
      status: "cancelled",
      failure: { kind: "permanent", code: "llamaparse_job_cancelled" },
    });
  });

  it("does not take an answer about another job", async () => {
    loopback.answer = (response) => sendJson(response, { job: describeJob({ id: "job-2" }) });
    await expect(client.status("job-1")).rejects.toMatchObject({ code: "llamaparse_invalid_answer" });
  });

  it("says when the provider does not know the job", async () => {
    await expect(client.status("job-1")).rejects.toMatchObject({
      kind: "not_found",
      code: "llamaparse_job_not_found",
    });
  });

  it("asks for nothing but the job, whatever its id", async () => {
    await expect(client.status("../../v1/keys?x=")).rejects.toMatchObject({ code: "llamaparse_job_not_found" });
    expect(loopback.requests.map((request) => request.path)).toEqual(["/api/v2/parse/..%2F..%2Fv1%2Fkeys%3Fx%3D"]);
  });
});

async function readResult(options?: ResultOptions): Promise<ProviderResult> {
  const result = await client.result("job-1", options);
  if ("refusal" in result) throw result.refusal;
  return result;
}

describe("result", () => {
  const words = "More than twenty characters of text.";

  it("is the pages in our form, with where they come from and what they cost", async () => {
    answerPages([markdownPage(2, `# Second\n\n${words}`), markdownPage(1, words)], { usage: { credits: 20 } });
    await expect(client.result("job-1")).resolves.toEqual({
      document: {
        parser: "llamaparse",
        parser_version: "agentic 2026-01-01",
        title: null,
        pages: [
          { page_number: 1, text: words },
          { page_number: 2, text: `# Second\n\n${words}` },
        ],
        notes: [],
      },
      page_count: 2,
      failed_pages: [],
      credits: 20,
    });
    expect(loopback.requests[0]?.query.getAll("expand")).toEqual(["markdown", "usage"]);
  });

  it("names each page that failed, is missing or holds no text, and leaves none out", async () => {
    answerPages(
      [markdownPage(1, words), { page_number: 2, success: false, error: "Jane Doe" }, markdownPage(4, " 4 ")],
      { status: "PARTIAL_SUCCESS" },
    );
    const { document, page_count, failed_pages } = await readResult({ pageCount: 5 });
    expect({ page_count, failed_pages }).toEqual({ page_count: 5, failed_pages: [2, 3, 5] });
    expect(document.pages.map(({ text: page }) => page)).toEqual([words, "", "", " 4 ", ""]);
    expect(document.notes.map(({ code, page_number }) => [code, page_number])).toEqual([
      ["page_failed", 2],
      ["page_failed", 3],
      ["page_without_text", 4],
      ["page_failed", 5],
    ]);
    expect(JSON.stringify(document.notes)).not.toContain("Jane");
  });

  it("is plain text where the tier has no Markdown", async () => {
    loopback.answer = (response, { query }) => {
      const page = { page_number: 1, text: words };
      const job = describeJob({ tier: "fast" });
      sendJson(response, query.getAll("expand").includes("text") ? { job, text: { pages: [page] } } : { job });
    };
    const { document } = await readResult();
    expect(document).toMatchObject({ parser_version: "fast 2026-01-01", pages: [{ page_number: 1, text: words }] });
  });

  it.each([
    ["every page failed", [{ page_number: 1, success: false }], "transient", "llamaparse_job_failed", 1, 0],
    ["no page holds text", [markdownPage(1, " \n"), markdownPage(2, "")], "permanent", "no_text", 2, 2],
    ["there are too many pages", [markdownPage(501, words)], "too_large", "too_many_pages", 501, 1],
  ])("is refused where %s, and tells what is paid all the same", async (_, pages, kind, code, page_count, read) => {
    answerPages(pages, { usage: { credits: 7 } });
    const result = await client.result("job-1");
    expect(result).toMatchObject({ refusal: { kind, code }, page_count, credits: 7 });
    expect(result.page_count - result.failed_pages.length).toBe(read);
  });

  it.each([
    ["a page comes twice", [markdownPage(1, "a"), markdownPage(1, "b")], "transient", "llamaparse_invalid_answer"],
    ["there are no pages", [], "transient", "llamaparse_invalid_answer"],
    ["a page has no number", [markdownPage(0, words)], "transient", "llamaparse_invalid_answer"],
    ["a page number is absurd", [markdownPage(2_000_000_000, words)], "transient", "llamaparse_invalid_answer"],
  ])("fails where %s", async (_, pages, kind, code) => {
    answerPages(pages);
    await expect(client.result("job-1")).rejects.toMatchObject({ kind, code });
  });

  it("is refused where there is more text than is allowed", async () => {
    const modest = connect({ maxTextChars: 40 });
    answerPages([markdownPage(1, words), markdownPage(2, words)]);
    await expect(modest.result("job-1")).resolves.toMatchObject({
      refusal: { kind: "too_large", code: "text_too_large" },
      page_count: 2,
      failed_pages: [],
    });
    await modest.close();
  });

  it("stops reading an answer that never ends", async () => {
    const block = Buffer.alloc(1_048_576, " ");
    loopback.answer = (response) => {
      const write = () => {
        while (!response.destroyed && response.write(block));
      };
      response.on("drain", write);
      response.writeHead(200);
      write();
    };
    await expect(client.result("job-1")).rejects.toMatchObject({ kind: "too_large", code: "text_too_large" });
  });

  it.each([
    ["PENDING", { kind: "transient", code: "llamaparse_job_unfinished" }],
    ["RUNNING", { kind: "transient", code: "llamaparse_job_unfinished" }],
    ["FAILED", { kind: "transient", code: "llamaparse_job_failed" }],
    ["CANCELLED", { kind: "permanent", code: "llamaparse_job_cancelled" }],
  ])("of a job that is %s is an error, whatever pages are there", async (status, expected) => {
    answerPages([markdownPage(1, words)], { status });
    await expect(client.result("job-1")).rejects.toMatchObject(expected);
  });
});

describe("cancel", () => {
  it("asks the provider to stop", async () => {
    loopback.answer = (response) => sendJson(response, describeJob({ status: "CANCELLED" }));
    await expect(client.cancel("job-1")).resolves.toBeUndefined();
    expect(loopback.requests).toMatchObject([{ method: "POST", path: "/api/v2/parse/job-1/cancel" }]);
  });

  it.each([400, 409, 500])("is content with a %i for a job at its end", async (status) => {
    loopback.answer = (response, { method }) =>
      method === "POST" ? sendJson(response, { detail: "no" }, status) : sendJson(response, { job: describeJob() });
    await expect(client.cancel("job-1")).resolves.toBeUndefined();
  });

  it("is content with a job that is not there any more", async () => {
    await expect(client.cancel("job-1")).resolves.toBeUndefined();
  });

  it("fails while the job goes on", async () => {
    loopback.answer = (response, { method }) =>
      method === "POST" ? sendJson(response, {}, 500) : sendJson(response, { job: describeJob({ status: "RUNNING" }) });
    await expect(client.cancel("job-1")).rejects.toMatchObject({ code: "llamaparse_unavailable" });
  });
});

describe.each(CALLS)("%s", (_, send) => {
  it.each([
    [400, "permanent", "llamaparse_rejected"],
    [401, "permanent", "llamaparse_unauthorized"],
    [402, "permanent", "llamaparse_quota_exhausted"],
    [403, "permanent", "llamaparse_unauthorized"],
    [408, "transient", "llamaparse_unavailable"],
    [409, "transient", "llamaparse_unavailable"],
    [413, "too_large", "llamaparse_too_large"],
    [422, "permanent", "llamaparse_rejected"],
    [429, "rate_limited", "llamaparse_rate_limited"],
    [500, "transient", "llamaparse_unavailable"],
    [503, "transient", "llamaparse_unavailable"],
    [302, "permanent", "llamaparse_rejected"],
  ])("makes of a %i a %s %s, and repeats nothing of it", async (status, kind, code) => {
    loopback.answer = (response) => {
      response.writeHead(status, { location: `${loopback.baseUrl}/elsewhere` });
      response.end(JSON.stringify({ detail: `Jane Doe ${apiKey}` }));
    };
    const error = await failureOf(send());
    expect(error).toMatchObject({ kind, code, details: { status } });
    expectNothingTold(error);
    expect(loopback.requests.map((request) => request.path)).not.toContain("/elsewhere");
  });

  it.each([
    ["no JSON", text("<html>Jane Doe</html>"), "llamaparse_invalid_answer"],
    ["JSON of another shape", text('{"job":{"id":["Jane Doe"]},"items":{}}'), "llamaparse_invalid_answer"],
    ["nothing", text(""), "llamaparse_invalid_answer"],
    ["half an answer", cutAnswer, "llamaparse_unavailable"],
    ["half an answer in chunks", cutChunks, "llamaparse_unavailable"],
    ["a closed connection", (response) => response.destroy(), "llamaparse_unavailable"],
  ] satisfies [string, LoopbackAnswer, string][])("makes of %s a transient failure", async (__, answer, code) => {
    loopback.answer = answer;
    const error = await failureOf(send());
    expect(error).toMatchObject({ kind: "transient", code });
    expectNothingTold(error);
  });

  it.each([
    ["hangs", () => undefined],
    ["hangs within its answer", (response) => response.writeHead(200).write("{")],
  ] satisfies [string, LoopbackAnswer][])("gives up on a service that %s", async (__, answer) => {
    await client.close();
    client = connect({ callTimeoutMs: 60, maxPages: 1 });
    loopback.answer = answer;
    await expect(send()).rejects.toMatchObject({
      kind: "transient",
      code: "llamaparse_unavailable",
      message: "The parsing service did not answer in time.",
    });
  });

  it("knows the status of an error whose body hangs", async () => {
    await client.close();
    client = connect({ callTimeoutMs: 60, maxPages: 1 });
    loopback.answer = (response) => response.writeHead(402).write("{");
    await expect(send()).rejects.toMatchObject({ code: "llamaparse_quota_exhausted" });
  });

  it("is a transient failure where nobody listens", async () => {
    await loopback.close();
    const details = { never_sent: true };
    await expect(send()).rejects.toMatchObject({ kind: "transient", code: "llamaparse_unavailable", details });
    loopback = await startLlamaParseLoopback();
  });

  it("rejects with the reason of a signal, before it begins and on the way", async () => {
    const reason = new Error("lease lost");
    await expect(send({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(loopback.requests).toEqual([]);
    const controller = new AbortController();
    loopback.answer = () => controller.abort(reason);
    await expect(send({ signal: controller.signal })).rejects.toBe(reason);
  });
});

describe("a fault by chance", () => {
  const FAULTS: [string, LoopbackAnswer][] = [
    ["a 503", text("", 503)],
    ["half an answer", cutAnswer],
    ["a closed connection", (response) => response.destroy()],
  ];
  const QUESTIONS = CALLS.filter(([name]) => name !== "submit" && name !== "cancel");

  describe.each(QUESTIONS)("of %s", (_, send) => {
    it.each(FAULTS)("is not noticed: %s", async (__, fault) => {
      client = await reconnect({ mostAsks: 3 });
      faulty(fault, 2);
      await send();
      expect(loopback.requests).toHaveLength(3);
    });

    it.each([
      ["asks us to slow down", text("", 429)],
      ["answers what nobody asked", text("[]")],
      ["says when to come back", (response) => response.writeHead(503, { "retry-after": "3" }).end()],
    ] satisfies [string, LoopbackAnswer][])("is told of at once where the service %s", async (__, answer) => {
      client = await reconnect({ mostAsks: 3 });
      loopback.answer = answer;
      await failureOf(send());
      expect(loopback.requests).toHaveLength(1);
    });

    it("is told of after three", async () => {
      client = await reconnect({ mostAsks: 3 });
      faulty(text("", 503), 9);
      expect(await failureOf(send())).toMatchObject({ code: "llamaparse_unavailable" });
      expect(loopback.requests).toHaveLength(3);
    });
  });

  it.each(FAULTS)("of an upload is told of at once, since it may have become a job: %s", async (_, fault) => {
    client = await reconnect({ mostAsks: 3 });
    faulty(fault, 2);
    await failureOf(client.submit({ path, format: "pdf", submissionId: "submission-1" }));
    expect(loopback.requests).toHaveLength(1);
  });

  it("is not repeated for longer than the call may take", async () => {
    client = await reconnect({ mostAsks: 1_000, callTimeoutMs: 300 });
    faulty(text("", 503), 1_000);
    expect(await failureOf(client.status("job-1"))).toMatchObject({
      code: "llamaparse_unavailable",
      details: { status: 503 },
    });
  });
});

/** Answers as `first` so many times, then as it should. */
function faulty(first: LoopbackAnswer, times: number): void {
  loopback.answer = (response, request) => {
    if (loopback.requests.length <= times) first(response, request);
    else if (request.path === "/api/v2/parse") sendJson(response, { items: [describeJob()] });
    else
      sendJson(response, {
        job: describeJob({ status: "COMPLETED" }),
        markdown: { pages: [markdownPage(1, "# Policy")] },
      });
  };
}

async function reconnect(options: Partial<LlamaParseOptions>): Promise<LlamaParseClient> {
  await client.close();
  return connect(options);
}

describe("a client", () => {
  it("waits as long as it is asked to, within reason", async () => {
    for (const [header, retryAfterMs] of [
      ["3", 3_000],
      ["61", 60_000],
      ["Fri, 31 Dec 9999 23:59:59 GMT", 60_000],
      ["soon", undefined],
      ["0", undefined],
    ] as const) {
      loopback.answer = (response) => response.writeHead(429, { "retry-after": header }).end();
      expect(await failureOf(client.status("job-1"))).toMatchObject({ retryAfterMs });
    }
  });

  it.each([[{ apiKey: "llx-with\nbreak" }], [{ apiKey: "" }], [{ version: "" }], [{ version: "latest; x" }]])(
    "refuses settings that could never work: %j",
    (options) => {
      expect(() => connect(options)).toThrow(
        expect.objectContaining({ kind: "invalid", code: "llamaparse_configuration_invalid" }),
      );
    },
  );

  it("takes a base with a slash at its end", async () => {
    const slashed = connect({ baseUrl: `${loopback.baseUrl}/` });
    loopback.answer = (response) => sendJson(response, { job: describeJob() });
    await expect(slashed.status("job-1")).resolves.toMatchObject({ id: "job-1" });
    expect(loopback.requests[0]?.path).toBe("/api/v2/parse/job-1");
    await slashed.close();
  });
});

const cutAnswer: LoopbackAnswer = (response) => {
  response.writeHead(200, { "content-length": "500" });
  response.write('{"job":{"id":"Jane Doe"', () => response.destroy());
};

const cutChunks: LoopbackAnswer = (response) => {
  response.writeHead(200);
  response.write('{"job":{"id":"Jane Doe"', () => response.destroy());
};

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("The call did not fail.");
}

/** Neither in what the owner of the document is shown nor in the log. */
function expectNothingTold(error: unknown): void {
  const told = `${String(error)} ${JSON.stringify(error)} ${JSON.stringify(describeError(error))}`;
  for (const secret of [apiKey, "Jane", loopback.baseUrl]) expect(told).not.toContain(secret);
}
