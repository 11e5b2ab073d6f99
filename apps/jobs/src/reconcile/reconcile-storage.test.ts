import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Database } from "@pipeline/db";
import {
  createCompleteDocument,
  createQueuedJob,
  createUpload,
  insertJobInState,
  openTestDatabase,
  readHistory,
  type TestDatabase,
  uploadPromise,
  vectorOf,
} from "@pipeline/db/testing";
import { startSupabase } from "@pipeline/mocks/supabase";
import { createDiskStore, createSupabaseStore, type ListableStore } from "@pipeline/storage";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { reconcileStorage, type ReconcileInput } from "./reconcile-storage.ts";

const CONTENT = "twelve bytes";

interface Bench {
  storage: ListableStore;
  put(key: string): Promise<void>;
  close(): Promise<void>;
}

async function openDisk(): Promise<Bench> {
  const directory = await mkdtemp(join(tmpdir(), "reconcile-test-"));
  const secret = "a secret for the tests, long enough for HS256";
  const storage = createDiskStore({ directory, publicUrl: () => "http://127.0.0.1:1", secret });
  return {
    storage,
    put: async (key) => {
      const { bucket, path, token } = await sign(storage, key);
      const body = Readable.from([Buffer.from(CONTENT)]);
      await storage.receiveUpload({ bucket, path, token, body, contentType: undefined, contentLength: undefined });
    },
    close: () => rm(directory, { recursive: true }),
  };
}

async function openSupabase(): Promise<Bench> {
  const emulator = await startSupabase();
  const storage = createSupabaseStore(emulator);
  await storage.prepare();
  return {
    storage,
    put: async (key) => {
      const { url, headers } = await sign(storage, key);
      const answer = await fetch(url, { method: "PUT", headers, body: Buffer.from(CONTENT) });
      expect(answer.status).toBe(200);
    },
    close: () => emulator.close(),
  };
}

function sign(storage: ListableStore, key: string) {
  return storage.signUpload({ key, mime: "text/plain", bytes_len: CONTENT.length, expiresInSeconds: 60 });
}

const newKey = (): string => `${randomUUID()}/${randomUUID()}`;

let opened: TestDatabase;
let database: Database;
beforeAll(async () => {
  opened = await openTestDatabase();
  database = opened.database;
});
afterAll(() => opened.close());

describe.each([
  ["the disk store", openDisk, 20],
  // Its pages have 1,000 entries of one folder.
  ["Supabase Storage", openSupabase, 1_100],
] as const)("a comparison of the database with %s", (_, open, manyCount) => {
  let bench: Bench;
  beforeEach(async () => {
    await database.run("delete from upload_pipeline.documents");
    bench = await open();
  });
  afterEach(() => bench.close());

  const reconcile = (options: Partial<ReconcileInput> = {}) =>
    reconcileStorage({
      database,
      storage: bench.storage,
      correlation_id: "the comparison",
      fix: false,
      acceptsMost: false,
      storedBefore: new Date(Date.now() + 60_000),
      ...options,
    });

  async function complete({ isStored }: { isStored: boolean }) {
    const upload = uploadPromise();
    if (isStored) await bench.put(upload.raw_path);
    const passages = [{ text: "Text.", vector: vectorOf(1) }];
    return { ...(await createCompleteDocument(database, { passages, upload })), raw_path: upload.raw_path };
  }

  it("finds nothing where both agree, uploads under way among them", async () => {
    await complete({ isStored: true });
    const { document } = await createUpload(database);
    await bench.put(document.raw_path);
    await createQueuedJob(database);
    expect(await reconcile({ fix: true })).toEqual({
      object_count: 2,
      orphan_count: 0,
      orphan_bytes: 0,
      young_count: 0,
      removed_count: 0,
      orphans: [],
      file_count: 1,
      missing_count: 0,
      recorded_count: 0,
      missing: [],
    });
  });

  it("tells and removes what no row needs, once it is old enough", async () => {
    const kept = await complete({ isStored: true });
    const orphan = newKey();
    await bench.put(orphan);
    const young = await reconcile({ fix: true, storedBefore: new Date(Date.now() - 3_600_000) });
    expect(young).toMatchObject({ orphan_count: 0, young_count: 1, removed_count: 0 });
    const told = { orphan_count: 1, orphan_bytes: CONTENT.length, orphans: [orphan] };
    expect(await reconcile()).toMatchObject({ ...told, removed_count: 0 });
    expect(await bench.storage.stat(orphan)).toBeDefined();
    expect(await reconcile({ fix: true })).toMatchObject({ ...told, removed_count: 1 });
    expect(await bench.storage.stat(orphan)).toBeUndefined();
    expect(await bench.storage.stat(kept.raw_path)).toBeDefined();
    expect(await reconcile()).toMatchObject({ object_count: 1, orphan_count: 0 });
  });

  it("removes more orphans than fit on a page of the listing, all in one run", async () => {
    const folder = randomUUID();
    const keys = Array.from({ length: manyCount }, () => `${folder}/${randomUUID()}`);
    for (const key of keys) await bench.put(key);
    expect(await reconcile({ fix: true, acceptsMost: true })).toMatchObject({
      object_count: manyCount,
      orphan_count: manyCount,
      removed_count: manyCount,
    });
    expect(await reconcile()).toMatchObject({ object_count: 0 });
  });

  it("records a finished document's lost file once, as a dead letter with a code", async () => {
    await complete({ isStored: true });
    const lost = await complete({ isStored: false });
    const missing = [{ document_id: lost.document_id, job_id: lost.job_id, status: "complete", state: "done" }];
    expect(await reconcile()).toMatchObject({ file_count: 2, missing_count: 1, recorded_count: 0, missing });
    expect(await readHistory(database, lost.job_id)).toHaveLength(11);
    expect(await reconcile({ fix: true })).toMatchObject({ missing_count: 1, recorded_count: 1, missing });
    expect(await reconcile({ fix: true })).toMatchObject({ file_count: 1, missing_count: 0, recorded_count: 0 });
  });

  it("leaves jobs under way to their workers", async () => {
    const job_id = await insertJobInState(database, { state: "queued", status: "parsing" });
    expect(await reconcile({ fix: true })).toMatchObject({
      missing_count: 1,
      recorded_count: 0,
      missing: [{ job_id, state: "queued" }],
    });
  });

  it("refuses to repair the storage of another database, unless it is told to", async () => {
    for (let count = 0; count < 11; count += 1) await bench.put(newKey());
    const refused = { kind: "conflict", code: "reconcile_refused" };
    await expect(reconcile({ fix: true })).rejects.toMatchObject(refused);
    expect(await reconcile()).toMatchObject({ object_count: 11, orphan_count: 11 });
    expect(await reconcile({ fix: true, acceptsMost: true })).toMatchObject({ removed_count: 11 });
    for (let count = 0; count < 11; count += 1) await complete({ isStored: false });
    await expect(reconcile({ fix: true })).rejects.toMatchObject(refused);
    expect(await reconcile()).toMatchObject({ missing_count: 11, recorded_count: 0 });
  });
});
