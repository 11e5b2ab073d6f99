import { createHash, randomUUID } from "node:crypto";
import { rename } from "node:fs/promises";
import { advanceJobs, lockDocument, removeDeletedFiles, reprocessDocument } from "@pipeline/db";
import { createQueuedJob, createUpload, hasParallelConnections } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { claimJob, completeDocument, deadLetter } from "../testing/documents.ts";
import { linkOf, openTestApi, problemOf, type TestApi, uploadRequest } from "../testing/test-api.ts";

let api: TestApi;
let address: string;
beforeAll(async () => {
  api = await openTestApi();
  address = await api.listen();
});
afterAll(() => api.close());

const CONTENT = "twelve bytes";

/** Promises a file and puts it; answers the ids and the link. */
async function upload(user: string, overrides: Record<string, unknown> = {}) {
  const body = uploadRequest({ sha256: createHash("sha256").update(randomUUID()).digest("hex"), ...overrides });
  const answer = await api.call({ method: "POST", path: "/upload", user, body });
  const link = linkOf(answer);
  const put = () => fetch(link.url, { method: "PUT", headers: link.headers, body: CONTENT });
  const { document_id, job_id } = z.object({ document_id: z.string(), job_id: z.string() }).parse(answer.body);
  return { body, document_id, job_id, key: link.path, put };
}

function remove(user: string, documentId: string) {
  return api.call({ method: "DELETE", path: `/documents/${documentId}`, user });
}

const TABLES = ["documents", "upload_jobs", "document_pages", "document_chunks", "page_sources"];

async function countRows(document_id: string, job_id: string): Promise<number> {
  const { schema } = api.database;
  const counts = TABLES.map((table) => `(select count(*) from ${schema}.${table} where document_id = $1)`);
  const [row] = await api.database.many(
    z.object({ count: z.number() }),
    `select ${counts.join(" + ")} + (select count(*) from ${schema}.events where job_id = $2)
       + (select count(*) from ${schema}.ready_jobs where job_id = $2) as count`,
    [document_id, job_id],
  );
  return row?.count ?? -1;
}

async function listRemovals(key: string): Promise<number> {
  return api.database.run(`select from ${api.database.schema}.removals where object_key = $1`, [key]);
}

/** As if every link of before had expired, and every pause were over. */
async function passTime(): Promise<void> {
  await api.database.run(`update ${api.database.schema}.removals set due_at = now(), upload_until = now()`);
}

describe("DELETE /documents/:id", () => {
  it("removes the rows and the file, and is 404 the second time", async () => {
    const user = randomUUID();
    const { document_id, job_id, key, put } = await upload(user);
    await put();
    expect(await remove(user, document_id)).toMatchObject({ status: 204, text: "" });
    expect(await countRows(document_id, job_id)).toBe(0);
    expect(await api.storage.stat(key)).toBeUndefined();
    expect(problemOf(await remove(user, document_id))).toMatchObject({ status: 404, code: "document_not_found" });
    expect(await api.call({ path: `/jobs/${job_id}`, user })).toMatchObject({ status: 404 });
  });

  it.skipIf(!hasParallelConnections())(
    "waits for whoever begins a job of the document, with its id in capitals too: needs parallel connections",
    async () => {
      const user = randomUUID();
      const { document_id } = await upload(user);
      const locked = Promise.withResolvers<void>();
      const over = Promise.withResolvers<void>();
      const holding = api.database.transaction(async (tx) => {
        await lockDocument(tx, document_id);
        locked.resolve();
        await over.promise;
      });
      await locked.promise;
      const removal = remove(user, document_id.toUpperCase());
      const waiting = `select from pg_locks join pg_database d on d.oid = database
        where locktype = 'advisory' and not granted and d.datname = current_database()`;
      await vi.waitFor(async () => expect(await api.database.run(waiting)).toBe(1), 30_000);
      over.resolve();
      await holding;
      expect((await removal).status).toBe(204);
    },
  );

  it.each([
    ["waiting for its upload", async (user: string) => (await createUpload(api.database, { user_id: user })).job],
    ["queued", async (user: string) => (await createQueuedJob(api.database, { user_id: user })).job],
    [
      "in a worker's hands",
      async (user: string) => {
        const { job } = await createQueuedJob(api.database, { user_id: user });
        await claimJob(api.database, job.job_id);
        return job;
      },
    ],
    [
      "failed",
      async (user: string) => {
        const { job } = await createUpload(api.database, { user_id: user });
        await deadLetter(api.database, job);
        return job;
      },
    ],
    ["complete", (user: string) => completeDocument(api.database, { user_id: user, passages: [{ text: "One." }] })],
    [
      "processed anew",
      async (user: string) => {
        const done = await completeDocument(api.database, { user_id: user, passages: [{ text: "One." }] });
        const asked = { document_id: done.document_id, from: "embed" as const, correlation_id: "test" };
        return api.database.transaction((tx) => reprocessDocument(tx, asked));
      },
    ],
  ])("works on a document that is %s", async (_, make) => {
    const user = randomUUID();
    const { document_id, job_id } = await make(user);
    expect(await remove(user, document_id)).toMatchObject({ status: 204 });
    expect(await countRows(document_id, job_id)).toBe(0);
    expect(await api.call({ path: "/documents", user })).toMatchObject({ body: { documents: [] } });
  });

  it("takes the job out of a worker's hands: none of its writes counts", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const { job_id, fence } = await claimJob(api.database, job.job_id);
    await remove(user, job.document_id);
    const step = { job_id, fence, from: "uploaded" as const, to: "parsing" as const, progress: {}, detail: {} };
    expect(await advanceJobs(api.database, [step])).toEqual(new Set());
    expect(await countRows(job.document_id, job_id)).toBe(0);
  });

  it("lets the same file be uploaded again at once, and a late PUT to the old link brings nothing back", async () => {
    const user = randomUUID();
    const first = await upload(user);
    await remove(user, first.document_id);
    const second = await upload(user, first.body);
    expect(second.document_id).toBe(first.document_id);
    expect(second.key).not.toBe(first.key);
    await second.put();
    await first.put();
    expect(await api.call({ path: `/jobs/${first.job_id}`, user })).toMatchObject({ status: 404 });
    await passTime();
    while ((await removeDeletedFiles(api.database, (keys) => api.storage.remove(keys))) > 0);
    expect(await api.storage.stat(first.key)).toBeUndefined();
    expect(await api.storage.stat(second.key)).toEqual({ bytes_len: CONTENT.length });
    expect(await listRemovals(first.key)).toBe(0);
  });

  it("does not need storage: what that refused is removed when it is back", async () => {
    const user = randomUUID();
    const { document_id, key, put } = await upload(user);
    await put();
    const moved = `${api.storageDirectory}-away`;
    await rename(api.storageDirectory, moved);
    try {
      expect(await remove(user, document_id)).toMatchObject({ status: 204 });
      await passTime();
      const working = removeDeletedFiles(api.database, (keys) => api.storage.remove(keys));
      await expect(working).rejects.toMatchObject({ code: "storage_unavailable" });
      expect(await removeDeletedFiles(api.database, (keys) => api.storage.remove(keys))).toBe(0);
    } finally {
      await rename(moved, api.storageDirectory);
    }
    expect(await api.storage.stat(key)).toBeDefined();
    await passTime();
    await removeDeletedFiles(api.database, (keys) => api.storage.remove(keys));
    expect(await api.storage.stat(key)).toBeUndefined();
    expect(await listRemovals(key)).toBe(0);
  });

  it("does not tell somebody else's document from none, and leaves it alone", async () => {
    const { document_id, key, put } = await upload(randomUUID());
    await put();
    const stranger = randomUUID();
    const answers = [];
    for (const id of [document_id, randomUUID(), "not-an-id"]) answers.push(problemOf(await remove(stranger, id)));
    expect(answers[0]).toMatchObject({ status: 404, code: "document_not_found" });
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(await api.storage.stat(key)).toBeDefined();
  });
});

async function verified(user: string, filename: string) {
  const uploaded = await upload(user, { filename });
  await uploaded.put();
  await api.call({ method: "POST", path: `/documents/${uploaded.document_id}/uploaded`, user });
  const { job_id, fence } = await claimJob(api.database, uploaded.job_id);
  await advanceJobs(api.database, [{ job_id, fence, from: "uploaded", to: "parsing", progress: {}, detail: {} }]);
  return uploaded;
}

describe("GET /documents/:id/download", () => {
  const linkSchema = z.object({
    url: z.string(),
    expires_at: z.iso.datetime(),
    filename: z.string(),
    mime: z.string(),
    bytes_len: z.number(),
  });

  it("answers a short-lived link that saves the file under its name, and runs nothing in it", async () => {
    const user = randomUUID();
    const { document_id } = await verified(user, `Prémie "7,25" 100% – it's.txt`);
    const answer = await api.call({ path: `/documents/${document_id}/download`, user });
    const { url, expires_at, filename } = linkSchema.parse(answer.body);
    expect(new Date(expires_at).getTime()).toBeLessThanOrEqual(Date.now() + 300_000);
    const file = await fetch(url);
    expect(file.status).toBe(200);
    expect(await file.text()).toBe(CONTENT);
    expect(file.headers.get("content-type")).toBe("text/plain");
    expect(file.headers.get("content-length")).toBe(String(CONTENT.length));
    expect(file.headers.get("x-content-type-options")).toBe("nosniff");
    expect(file.headers.get("cache-control")).toBe("private, no-store");
    expect(file.headers.get("content-disposition")).toBe(
      `attachment; filename="Pr_mie _7,25_ 100_ _ it's.txt"; filename*=UTF-8''${encodeURIComponent(filename).replaceAll("'", "%27")}`,
    );
  });

  it("is refused before the file has been verified", async () => {
    const user = randomUUID();
    const { document_id, put } = await upload(user);
    await put();
    const answer = await api.call({ path: `/documents/${document_id}/download`, user });
    expect(answer).toMatchObject({ status: 409, body: { code: "file_not_stored" } });
  });

  it("gives out links that open nothing else, end with the document, and cannot put a file", async () => {
    const user = randomUUID();
    const mine = await verified(user, "mine.txt");
    const other = await verified(randomUUID(), "other.txt");
    const answer = await api.call({ path: `/documents/${mine.document_id}/download`, user });
    const url = new URL(linkSchema.parse(answer.body).url);
    const elsewhere = `${address}${url.pathname.replace(mine.key, other.key)}${url.search}`;
    expect((await fetch(elsewhere)).status).toBe(401);
    expect((await fetch(`${address}${url.pathname}?token=abc`)).status).toBe(401);
    expect((await fetch(`${address}${url.pathname}`)).status).toBe(401);
    const asUpload = `${address}${url.pathname.replace("/object/sign/", "/object/upload/sign/")}${url.search}`;
    expect((await fetch(asUpload, { method: "PUT", body: CONTENT })).status).toBe(401);
    await remove(user, mine.document_id);
    const gone = await fetch(url);
    expect(gone.status).toBe(404);
    expect(await gone.json()).toMatchObject({ code: "object_not_found" });
  });
});
