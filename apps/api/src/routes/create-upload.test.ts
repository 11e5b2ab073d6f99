import { randomUUID } from "node:crypto";
import { rename } from "node:fs/promises";
import { getJob } from "@pipeline/db";
import { documentId, SUPPORTED_MIME_TYPES } from "@pipeline/runtime";
import { readHistory, readJob } from "@pipeline/db/testing";
import type { ObjectStore } from "@pipeline/storage";
import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { claimJob, completeDocument, deadLetter } from "../testing/documents.ts";
import {
  linkOf,
  openTestApi,
  problemOf,
  send,
  uploadAnswer,
  uploadRequest,
  type Answer,
  type TestApi,
} from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
  await api.listen();
});
afterAll(() => api.close());

function upload(user: string, body: Record<string, unknown>): Promise<Answer> {
  return api.call({ method: "POST", path: "/upload", user, body });
}

async function putBytes(answer: Answer, bytes = "twelve bytes"): Promise<void> {
  const { url, headers } = linkOf(answer);
  const response = await fetch(url, { method: "PUT", headers, body: bytes });
  expect(response.status).toBe(200);
}

async function countRows(table: "documents" | "upload_jobs", user: string): Promise<number> {
  const { database } = api;
  const rows = await database.many(
    z.object({ found: z.number() }),
    `select count(*)::int as found from ${database.schema}.${table} where user_id = $1`,
    [user],
  );
  return rows[0]?.found ?? -1;
}

describe("POST /upload", () => {
  it("makes a document and a job that waits for the bytes, and says where to put them", async () => {
    const user = randomUUID();
    const body = uploadRequest({ metadata: { policy: { number: "A-1" } } });
    const answer = await upload(user, body);
    const made = uploadAnswer.parse(answer.body);

    expect(answer.status).toBe(201);
    expect(answer.headers["location"]).toBe(`/api/upload-pipeline/jobs/${made.job_id}`);
    expect(made).toMatchObject({
      document_id: documentId(user, String(body["sha256"])),
      status: "uploaded",
      state: "waiting",
      duplicate: false,
      correlation_id: answer.headers["x-correlation-id"],
      upload: {
        method: "PUT",
        headers: { "content-type": "text/plain" },
        bucket: "uploads",
        path: `${made.document_id}/${made.job_id}`,
      },
    });
    expect(made.signed_url).toContain(made.upload?.token);
    expect(await readHistory(api.database, made.job_id)).toEqual(["created:uploaded"]);
    const document = await api.call({ path: `/documents/${made.document_id}`, user });
    expect(document.body).toMatchObject({ filename: "letter.txt", metadata: { policy: { number: "A-1" } } });
  });

  it("signs a link that dies at the second that the job's row says, two hours on", async () => {
    const before = Date.now();
    const answer = await upload(randomUUID(), uploadRequest());
    const expiresAt = Date.parse(z.string().parse(answer.body["upload_expires_at"]));
    expect(decodeJwt(linkOf(answer).token).exp).toBe(Math.floor(expiresAt / 1_000));
    expect(Math.abs(expiresAt - before - 7_200_000)).toBeLessThan(60_000);
  });

  it("is the same document and job for the same file, with a fresh link while the bytes are missing", async () => {
    const user = randomUUID();
    const body = uploadRequest();
    const first = uploadAnswer.parse((await upload(user, body)).body);
    const sha256 = String(body["sha256"]).toUpperCase();
    const changed = { filename: "renamed.txt", mime: "text/markdown", metadata: { year: 2026 } };
    const again = await upload(user, { ...body, ...changed, sha256 });
    const second = uploadAnswer.parse(again.body);

    expect(again.status).toBe(200);
    expect(again.headers["location"]).toBeUndefined();
    expect(second).toMatchObject({
      job_id: first.job_id,
      document_id: first.document_id,
      correlation_id: first.correlation_id,
      duplicate: true,
      upload: { path: first.upload?.path, headers: { "content-type": "text/markdown" } },
    });
    expect(await readHistory(api.database, first.job_id)).toEqual(["created:uploaded", "upload_renewed:uploaded"]);
    const document = await api.call({ path: `/documents/${first.document_id}`, user });
    expect(document.body).toMatchObject(changed);
    await putBytes(again);
  });

  it("gives a duplicate no link once the bytes are there", async () => {
    const user = randomUUID();
    const body = uploadRequest();
    const first = await upload(user, body);
    await putBytes(first);
    const again = await upload(user, body);
    expect(again.status).toBe(200);
    expect(uploadAnswer.parse(again.body)).toMatchObject({
      job_id: first.body["job_id"],
      duplicate: true,
      signed_url: null,
      upload: null,
      upload_expires_at: null,
    });
  });

  it("gives no link for a document that is complete", async () => {
    const user = randomUUID();
    const sha256 = "ab".repeat(32);
    const { job_id } = await completeDocument(api.database, {
      user_id: user,
      sha256,
      passages: [{ text: "A passage." }],
    });
    const again = await upload(user, uploadRequest({ sha256 }));
    expect(again.status).toBe(200);
    expect(uploadAnswer.parse(again.body)).toMatchObject({
      job_id,
      duplicate: true,
      status: "complete",
      state: "done",
      signed_url: null,
    });
  });

  it("renews the link of a job in hand with what it was claimed with", async () => {
    const user = randomUUID();
    const body = uploadRequest();
    const first = uploadAnswer.parse((await upload(user, body)).body);
    await api.call({ method: "POST", path: `/documents/${first.document_id}/uploaded`, user, body: {} });
    await claimJob(api.database, first.job_id);
    const again = await upload(user, { ...body, mime: "text/markdown" });
    expect(uploadAnswer.parse(again.body)).toMatchObject({
      state: "working",
      upload: { headers: { "content-type": "text/plain" } },
    });
  });

  it("makes a new job for the same document after a failure", async () => {
    const user = randomUUID();
    const body = uploadRequest();
    const first = uploadAnswer.parse((await upload(user, body)).body);
    await deadLetter(api.database, await getJob(api.database, { user_id: user, job_id: first.job_id }));
    const again = await upload(user, body);
    const second = uploadAnswer.parse(again.body);

    expect(again.status).toBe(201);
    expect(second).toMatchObject({ document_id: first.document_id, duplicate: false, status: "uploaded" });
    expect(second.job_id).not.toBe(first.job_id);
    expect(second.upload?.path).not.toBe(first.upload?.path);
    await putBytes(again);
  });

  it("makes one document and one job of a hundred identical uploads at once", async () => {
    const user = randomUUID();
    const body = uploadRequest();
    const answers = await Promise.all(Array.from({ length: 100 }, () => upload(user, body)));

    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(99);
    expect(new Set(answers.map((answer) => answer.body["job_id"])).size).toBe(1);
    expect(new Set(answers.map((answer) => answer.body["document_id"])).size).toBe(1);
    expect([await countRows("documents", user), await countRows("upload_jobs", user)]).toEqual([1, 1]);
  });

  it("gives two users of the same file two documents", async () => {
    const body = uploadRequest();
    const [one, other] = await Promise.all([upload(randomUUID(), body), upload(randomUUID(), body)]);
    expect([one.status, other.status]).toEqual([201, 201]);
    expect(one.body["document_id"]).not.toBe(other.body["document_id"]);
  });

  it.each(SUPPORTED_MIME_TYPES.map((mime) => [mime]))("takes %s", async (mime) => {
    expect((await upload(randomUUID(), uploadRequest({ mime }))).status).toBe(201);
  });

  it("stores the media type in lower case and without parameters", async () => {
    const user = randomUUID();
    const answer = await upload(user, uploadRequest({ mime: "Text/Plain; charset=UTF-8" }));
    expect(linkOf(answer).headers).toEqual({ "content-type": "text/plain" });
    const document = await api.call({ path: `/documents/${String(answer.body["document_id"])}`, user });
    expect(document.body["mime"]).toBe("text/plain");
  });

  it.each([
    [{ mime: "image/png" }, 415, "unsupported_media_type"],
    [{ mime: "" }, 415, "unsupported_media_type"],
    [{ bytes_len: 0 }, 422, "empty_file"],
    [{ bytes_len: 26_214_401 }, 413, "file_too_large"],
    [{ ocr: true }, 422, "ocr_unavailable"],
  ])("refuses %j with %i %s", async (overrides, status, code) => {
    const user = randomUUID();
    const answer = await upload(user, uploadRequest(overrides));
    expect(answer).toMatchObject({ status, body: { status, code } });
    expect(await countRows("documents", user)).toBe(0);
  });

  it("lists the supported types to whoever sends another", async () => {
    const answer = await upload(randomUUID(), uploadRequest({ mime: "image/png" }));
    for (const mime of SUPPORTED_MIME_TYPES) expect(answer.body["detail"]).toContain(mime);
  });

  it.each([
    ["filename", ""],
    ["filename", "   "],
    ["filename", "a".repeat(256)],
    ["filename", "folder/letter.txt"],
    ["filename", "folder\\letter.txt"],
    ["filename", "let\u0000ter.txt"],
    ["filename", "let\nter.txt"],
    ["filename", "let\u2028ter.txt"],
    ["filename", "half a pair \uD800"],
    ["bytes_len", 1.5],
    ["bytes_len", -1],
    ["bytes_len", "12"],
    ["sha256", "ab"],
    ["sha256", "g".repeat(64)],
    ["metadata", "text"],
    ["metadata", ["list"]],
    ["metadata", { note: "a".repeat(4_096) }],
    ["metadata", { note: "nul \u0000" }],
    ["metadata", { "key \u0000": 1 }],
    ["metadata", { deep: [{ note: "half a pair \uDC00" }] }],
    ["ocr", "yes"],
  ])("refuses a %s of %j", async (field, value) => {
    const answer = await upload(randomUUID(), uploadRequest({ [field]: value }));
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
    expect(answer.body["errors"]).toEqual([{ path: field, message: expect.any(String) }]);
  });

  it("refuses numbers that are not finite and nesting without end in metadata", async () => {
    const plain = JSON.stringify(uploadRequest());
    const headers = { "content-type": "application/json" };
    for (const value of ["1e999", `${"[".repeat(20_000)}${"]".repeat(20_000)}`]) {
      const body = plain.replace("}", `,"metadata":{"a":${value}}}`);
      const answer = await api.call({ method: "POST", path: "/upload", user: randomUUID(), body, headers });
      expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
    }
  });

  it("keeps metadata as deep as its length allows", async () => {
    const user = randomUUID();
    const metadata = { a: JSON.parse(`${"[".repeat(1_000)}${"]".repeat(1_000)}`) };
    const answer = await upload(user, uploadRequest({ metadata }));
    expect(answer.status).toBe(201);
    const document = await api.call({ path: `/documents/${String(answer.body["document_id"])}`, user });
    expect(document.body["metadata"]).toEqual(metadata);
  });

  it("refuses a field that it does not know", async () => {
    const answer = await upload(randomUUID(), uploadRequest({ byteslen: 1 }));
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
    expect(JSON.stringify(answer.body["errors"])).toContain("byteslen");
  });

  it("says that storage is out of order instead of taking the bytes for missing", async () => {
    const user = randomUUID();
    const body = uploadRequest();
    await upload(user, body);
    const moved = `${api.storageDirectory}-away`;
    await rename(api.storageDirectory, moved);
    try {
      const answer = await upload(user, body);
      expect(answer.headers["retry-after"]).toBe("2");
      expect(problemOf(answer)).toMatchObject({ status: 503, code: "storage_unavailable" });
    } finally {
      await rename(moved, api.storageDirectory);
    }
  });

  it("has its link served by nobody when storage is not the disk's", async () => {
    const disk = api.storage;
    const storage: ObjectStore = {
      kind: "supabase",
      signUpload: (input) => disk.signUpload(input),
      stat: (key) => disk.stat(key),
      download: (key, options) => disk.download(key, options),
      signDownload: (key, options) => disk.signDownload(key, options),
      remove: (keys) => disk.remove(keys),
      check: () => disk.check(),
    };
    const app = await buildApi({ ...api.dependencies, storage });
    const answer = await send(app, { method: "PUT", path: "root:/storage/v1/object/upload/sign/uploads/x?token=y" });
    await app.close();
    expect(answer).toMatchObject({ status: 404, body: { code: "route_not_found" } });
  });

  it("keeps the fence and the retries of the job as they were", async () => {
    const user = randomUUID();
    const body = uploadRequest();
    const first = uploadAnswer.parse((await upload(user, body)).body);
    await upload(user, body);
    expect(await readJob(api.database, first.job_id)).toMatchObject({ fence: 0, retry_count: 0, state: "waiting" });
  });
});
