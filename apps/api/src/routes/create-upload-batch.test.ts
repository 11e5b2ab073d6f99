import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { openTestApi, type Answer, type TestApi, uploadAnswer, uploadRequest } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const batchAnswer = z.object({
  results: z.array(
    z.object({
      status: z.number(),
      upload: uploadAnswer.nullable(),
      problem: z.looseObject({ status: z.number(), code: z.string(), correlation_id: z.string() }).nullable(),
    }),
  ),
});

function send(user: string, files: unknown): Promise<Answer> {
  return api.call({ method: "POST", path: "/upload/batch", user, body: { files } });
}

describe("POST /upload/batch", () => {
  it("answers each file by itself, in the files' order, and stops for none", async () => {
    const user = randomUUID();
    const known = uploadRequest();
    const first = await api.call({ method: "POST", path: "/upload", user, body: known });
    const answer = await send(user, [
      uploadRequest(),
      uploadRequest({ mime: "image/png" }),
      known,
      uploadRequest({ bytes_len: 26 * 1024 * 1024 }),
      uploadRequest({ filename: "a/b", bytes_len: "12" }),
      "not a file",
      null,
    ]);
    expect(answer.status).toBe(207);
    const { results } = batchAnswer.parse(answer.body);
    expect(results.map(({ status, problem }) => problem?.code ?? status)).toEqual([
      201,
      "unsupported_media_type",
      200,
      "file_too_large",
      "invalid_request",
      "invalid_request",
      "invalid_request",
    ]);
    expect(results.map(({ status }) => status)).toEqual([201, 415, 200, 413, 422, 422, 422]);
    expect(results[2]?.upload?.job_id).toBe(first.body["job_id"]);
    expect(results[4]?.problem).toMatchObject({
      title: "Unprocessable Entity",
      correlation_id: answer.headers["x-correlation-id"],
      errors: [{ path: "filename" }, { path: "bytes_len" }],
    });
    expect(results[0]?.upload?.signed_url).toBeTypeOf("string");
    const listed = await api.call({ path: "/documents", user });
    expect(listed.body["documents"]).toHaveLength(2);
  });

  it("makes one document and one job of the same file many times in a batch", async () => {
    const user = randomUUID();
    const file = uploadRequest();
    const { results } = batchAnswer.parse(
      (
        await send(
          user,
          Array.from({ length: 50 }, () => file),
        )
      ).body,
    );
    expect(results.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(results.filter(({ status }) => status === 200)).toHaveLength(49);
    expect(new Set(results.map(({ upload }) => upload?.job_id)).size).toBe(1);
  });

  it("takes fifty files with the longest names and metadata, more than other calls may send", async () => {
    const metadata = { note: "m".repeat(4_000) };
    const files = Array.from({ length: 50 }, () => uploadRequest({ filename: "ü".repeat(255), metadata }));
    const answer = await send(randomUUID(), files);
    expect(batchAnswer.parse(answer.body).results.filter(({ status }) => status === 201)).toHaveLength(50);
  });

  it.each([
    ["no file", []],
    ["51 files", Array.from({ length: 51 }, () => ({}))],
    ["something else than a list", "files"],
  ])("refuses %s as a whole", async (_, files) => {
    expect(await send(randomUUID(), files)).toMatchObject({ status: 422, body: { code: "invalid_request" } });
  });

  it("refuses a body over its limit, and one that is not JSON", async () => {
    const user = randomUUID();
    const large = await send(user, [{ filename: "x".repeat(400_000) }]);
    expect(large).toMatchObject({ status: 413, body: { code: "request_too_large" } });
    const call = { method: "POST", path: "/upload/batch", user } as const;
    const text = await api.call({ ...call, body: "<files/>", headers: { "content-type": "application/xml" } });
    expect(text).toMatchObject({ status: 415, body: { code: "unsupported_content_type" } });
    const broken = await api.call({ ...call, body: "{", headers: { "content-type": "application/json" } });
    expect(broken).toMatchObject({ status: 400, body: { code: "malformed_json" } });
  });
});
