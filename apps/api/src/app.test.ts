import { randomUUID } from "node:crypto";
import { openPostgres } from "@pipeline/db";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildApi } from "./app.ts";
import { openTestApi, PAGE_ORIGIN, problemOf, send, tokenOf, uploadRequest, type TestApi } from "./testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const PROTECTED = [
  ["POST", "/upload"],
  ["GET", "/upload/limits"],
  ["POST", `/documents/${randomUUID()}/uploaded`],
  ["GET", "/documents"],
  ["GET", `/documents/${randomUUID()}`],
  ["GET", `/jobs/${randomUUID()}`],
  ["GET", `/jobs/${randomUUID()}/events`],
  ["POST", "/search"],
] as const;

const UNAUTHORIZED = {
  type: "about:blank",
  title: "Unauthorized",
  status: 401,
  code: "unauthorized",
  detail: "This call needs a valid bearer token of a user.",
};

describe("the bearer token", () => {
  it.each(PROTECTED)("is asked for by %s %s", async (method, path) => {
    const answer = await api.call({ method, path });
    expect(answer.status).toBe(401);
    expect(answer.headers).toMatchObject({
      "www-authenticate": "Bearer",
      "content-type": "application/problem+json; charset=utf-8",
    });
    expect(problemOf(answer)).toEqual(UNAUTHORIZED);
  });

  it.each([
    ["Basic dXNlcjpwYXNz"],
    ["Bearer"],
    ["Bearer "],
    ["Bearer a b"],
    ["Bearer abc.def.ghi"],
    ["Token abc"],
    ["Bearer ünïcode"],
  ])("is not %s", async (authorization) => {
    const answer = await api.call({ path: "/documents", headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(problemOf(answer)).toEqual(UNAUTHORIZED);
  });

  it("is asked for before the body is looked at", async () => {
    const answer = await api.call({
      method: "POST",
      path: "/upload",
      body: "{",
      headers: { "content-type": "application/json" },
    });
    expect(answer.status).toBe(401);
  });

  it("may be written with any case of its scheme", async () => {
    const authorization = `bearer ${await tokenOf(randomUUID())}`;
    expect((await api.call({ path: "/documents", headers: { authorization } })).status).toBe(200);
  });
});

describe("problems", () => {
  const user = randomUUID();

  it("say that a route does not exist", async () => {
    const answer = await api.call({ path: "/nothing", user });
    expect(answer.status).toBe(404);
    expect(answer.headers["content-type"]).toBe("application/problem+json; charset=utf-8");
    expect(answer.body).toEqual({
      type: "about:blank",
      title: "Not Found",
      status: 404,
      code: "route_not_found",
      detail: "There is no such route.",
      correlation_id: answer.headers["x-correlation-id"],
    });
  });

  it.each([
    ["root:/%", 400, "bad_request"],
    [`/jobs/${"a".repeat(500)}`, 404, "route_not_found"],
  ])("are the answer to a URL that cannot be routed: %s", async (path, status, code) => {
    const answer = await api.call({ path, user });
    expect(answer).toMatchObject({
      status,
      body: { status, code, correlation_id: answer.headers["x-correlation-id"] },
    });
  });

  it.each([
    ["malformed JSON", "{", "application/json", 400, "malformed_json"],
    ["an empty body", "", "application/json", 400, "malformed_json"],
    ["JSON that would change prototypes", '{"__proto__":{"a":1}}', "application/json", 400, "malformed_json"],
    ["XML", "<a/>", "application/xml", 415, "unsupported_content_type"],
    ["a form", "a=b", "application/x-www-form-urlencoded", 415, "unsupported_content_type"],
    ["more than 64 KiB", JSON.stringify("x".repeat(65_536)), "application/json", 413, "request_too_large"],
  ])("are the answer to %s", async (_, body, type, status, code) => {
    const answer = await api.call({ method: "POST", path: "/upload", user, body, headers: { "content-type": type } });
    expect(answer.headers["content-type"]).toBe("application/problem+json; charset=utf-8");
    expect(answer).toMatchObject({ status, body: { status, code } });
  });

  it("name every field that is wrong", async () => {
    const body = { filename: "", mime: 1, bytes_len: -1, sha256: "zz", colour: "red" };
    const answer = await api.call({ method: "POST", path: "/upload", user, body });
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request", title: "Unprocessable Entity" } });
    const { errors } = answer.body;
    expect(errors).toEqual(
      ["filename", "mime", "bytes_len", "sha256", ""].map((path) => ({ path, message: expect.any(String) })),
    );
  });

  it("name the first faults only, however many a body holds", async () => {
    const body = { query: "x", document_ids: Array.from({ length: 100 }, () => "nope") };
    const answer = await api.call({ method: "POST", path: "/search", user, body });
    expect(answer.status).toBe(422);
    expect(answer.body["errors"]).toHaveLength(20);
  });

  it("ask to come back when the database is away, and tell nothing of it", async () => {
    const database = openPostgres({
      url: "postgres://user:hidden-password@127.0.0.1:1/nowhere",
      schemaName: "upload_pipeline",
      applicationName: "test",
      poolSize: 1,
      onIdleError: () => undefined,
    });
    const app = await buildApi({ ...api.dependencies, database });
    for (const [method, path] of PROTECTED.filter(([, url]) => url !== "/upload/limits")) {
      const body = path === "/upload" ? uploadRequest() : path === "/search" ? { query: "deductible" } : undefined;
      const answer = await send(app, { method, path, user, body });
      expect(answer.headers["retry-after"]).toBe("2");
      expect(problemOf(answer)).toEqual({
        type: "about:blank",
        title: "Service Unavailable",
        status: 503,
        code: "database_unavailable",
        detail: "The database cannot be reached.",
      });
    }
    await app.close();
    await database.close();
    expect(api.readLog()).toContain("ECONNREFUSED");
    expect(api.readLog()).not.toContain("hidden-password");
  });

  it("hide what broke inside", async () => {
    const { rejected } = await breakSchema();
    expect(problemOf(rejected)).toEqual({
      type: "about:blank",
      title: "Internal Server Error",
      status: 500,
      code: "internal_error",
      detail: "An unexpected error occurred.",
    });
    expect(api.readLog()).toContain("database_error");
  });

  async function breakSchema() {
    const broken = await openTestApi({ log: api.dependencies.log });
    try {
      await broken.database.run(`drop schema ${broken.database.schema} cascade`);
      return { rejected: await broken.call({ path: "/documents", user }) };
    } finally {
      await broken.close();
    }
  }
});

describe("the correlation id", () => {
  const user = randomUUID();

  it("is the caller's own, on the answer and on the job", async () => {
    const headers = { "x-correlation-id": "Order-7.retry_2" };
    const answer = await api.call({ method: "POST", path: "/upload", user, body: uploadRequest(), headers });
    expect(answer.headers["x-correlation-id"]).toBe("Order-7.retry_2");
    expect(answer.body["correlation_id"]).toBe("Order-7.retry_2");
  });

  it.each([["a b"], ["a".repeat(129)], ["<script>"], [""]])("is made anew where the caller's is %j", async (given) => {
    const answer = await api.call({ path: "/nothing", headers: { "x-correlation-id": given } });
    expect(answer.headers["x-correlation-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.body["correlation_id"]).toBe(answer.headers["x-correlation-id"]);
  });

  it("is on answers that no route gave", async () => {
    const headers = { origin: PAGE_ORIGIN, "access-control-request-method": "POST" };
    const preflight = await api.call({ method: "OPTIONS", path: "/upload", headers });
    const bad = await api.call({ path: "root:/%" });
    for (const answer of [preflight, bad]) expect(answer.headers["x-correlation-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("browsers", () => {
  it.each(["POST", "PUT"])("of a known origin may send %s", async (method) => {
    const answer = await api.call({
      method: "OPTIONS",
      path: "root:/storage/v1/object/upload/sign/uploads/a/b?token=x",
      headers: {
        origin: PAGE_ORIGIN,
        "access-control-request-method": method,
        "access-control-request-headers": "content-type",
      },
    });
    expect(answer.status).toBe(204);
    expect(answer.headers["access-control-allow-origin"]).toBe(PAGE_ORIGIN);
    expect(String(answer.headers["access-control-allow-methods"]).split(", ")).toContain(method);
    expect(String(answer.headers["access-control-allow-headers"]).split(", ")).toContain("content-type");
  });

  it("of an unknown origin are not let in", async () => {
    const answer = await api.call({ path: "root:/health/live", headers: { origin: "https://evil.example.test" } });
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  });

  it("of any origin are kept out where none is configured", async () => {
    const settings = { ...api.dependencies.settings, corsOrigins: [] };
    const app = await buildApi({ ...api.dependencies, settings });
    const headers = { origin: PAGE_ORIGIN, "access-control-request-method": "POST" };
    const preflight = await send(app, { method: "OPTIONS", path: "/upload", headers });
    await app.close();
    expect(preflight.status).toBe(404);
    expect(preflight.headers["access-control-allow-origin"]).toBeUndefined();
  });

  it("are told to take answers for what they say they are", async () => {
    const answer = await api.call({ path: "root:/health/live" });
    expect(answer.headers).toMatchObject({ "x-content-type-options": "nosniff", "x-frame-options": "SAMEORIGIN" });
  });
});

describe("the log", () => {
  it("has one line per request, with the route's pattern and nothing that the caller sent", async () => {
    const own = await openTestApi();
    const user = randomUUID();
    const url = "root:/storage/v1/object/upload/sign/uploads/x?token=secret-upload-token";
    await own.call({ method: "PUT", path: url, body: "secret-file-bytes", headers: { "content-type": "text/plain" } });
    await own.call({ method: "POST", path: "/search", user, body: { query: "secret-question" } });
    await own.call({ method: "POST", path: "/search", user, body: { query: "secret-question", secret_field: 1 } });
    await own.call({ path: "/nothing/secret-path?secret-parameter=1", user });
    const created = await own.call({
      method: "POST",
      path: "/upload",
      user,
      body: uploadRequest({ filename: "secret-name.txt", metadata: { note: "secret-note" } }),
      headers: { "x-correlation-id": "trace-1" },
    });
    await own.close();

    const lines = own.readLog().trim().split("\n");
    expect(created.status).toBe(201);
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      {
        method: "PUT",
        route: "/storage/v1/object/upload/sign/:bucket/*",
        status: 401,
        code: "upload_link_invalid",
        level: "info",
      },
      { method: "POST", route: "/api/upload-pipeline/search", status: 200 },
      { method: "POST", route: "/api/upload-pipeline/search", status: 422, code: "invalid_request" },
      { method: "GET", route: null, status: 404 },
      { method: "POST", route: "/api/upload-pipeline/upload", status: 201, correlation_id: "trace-1" },
    ]);
    expect(own.readLog()).not.toMatch(/secret-|eyJ|token=/);
  });
});
