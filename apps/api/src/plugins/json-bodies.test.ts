import { randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { API_PREFIX } from "../contract/urls.ts";
import { openTestApi, type TestApi, tokenOf, uploadAnswer, uploadRequest } from "../testing/test-api.ts";

const JSON_TYPE = { "content-type": "application/json" };
const user = randomUUID();

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

async function promise() {
  return uploadAnswer.parse((await api.call({ method: "POST", path: "/upload", user, body: uploadRequest() })).body);
}

async function post(payload: string | Buffer, encoding: string) {
  const headers = { ...JSON_TYPE, "content-encoding": encoding, authorization: `Bearer ${await tokenOf(user)}` };
  return api.app.inject({ method: "POST", url: `${API_PREFIX}/upload`, headers, payload });
}

describe("a body that is empty and said to be JSON", () => {
  it("is none where a call takes none", async () => {
    const { document_id, job_id } = await promise();
    const empty = { user, body: "", headers: JSON_TYPE };
    const calls = [
      { method: "POST", path: `/documents/${document_id}/uploaded`, status: 202 },
      { method: "POST", path: `/jobs/${job_id}/cancel`, status: 202 },
      { method: "POST", path: `/jobs/${job_id}/retry`, status: 202 },
      { method: "DELETE", path: `/documents/${document_id}`, status: 204 },
      { method: "POST", path: "/nothing", status: 404 },
    ] as const;
    for (const { method, path, status } of calls) {
      expect((await api.call({ method, path, ...empty })).status, `${method} ${path}`).toBe(status);
    }
    const resumed = await api.call({
      method: "POST",
      path: "/admin/resume",
      isService: true,
      body: "",
      headers: JSON_TYPE,
    });
    expect(resumed.status).toBe(200);
  });

  it("is a fault where a call takes one", async () => {
    const { document_id } = await promise();
    for (const path of ["/upload", "/upload/batch", "/search", `/documents/${document_id}/reprocess`]) {
      const answer = await api.call({ method: "POST", path, user, body: "", headers: JSON_TYPE });
      expect(answer, path).toMatchObject({ status: 400, body: { code: "malformed_json" } });
    }
  });

  it("is still read where a call takes none and something comes", async () => {
    const { job_id } = await promise();
    const answer = await api.call({
      method: "POST",
      path: `/jobs/${job_id}/cancel`,
      user,
      body: "{",
      headers: JSON_TYPE,
    });
    expect(answer).toMatchObject({ status: 400, body: { code: "malformed_json" } });
  });
});

describe("a body with a Content-Encoding", () => {
  const plain = JSON.stringify(uploadRequest());

  it.each([
    ["gzip, and is gzipped", gzipSync(plain), "gzip"],
    ["gzip, and is not", plain, "gzip"],
    ["br", plain, "br"],
    ["several", plain, "identity, gzip"],
    ["a made-up name", plain, "x"],
  ])("is refused as a type that is not taken: %s", async (_, payload, encoding) => {
    const answer = await post(payload, encoding);
    expect(answer.statusCode).toBe(415);
    expect(answer.json()).toMatchObject({ status: 415, code: "unsupported_content_type" });
  });

  it.each(["identity", "Identity", ""])("is taken with the encoding %j", async (encoding) => {
    expect((await post(JSON.stringify(uploadRequest()), encoding)).statusCode).toBe(201);
  });
});
