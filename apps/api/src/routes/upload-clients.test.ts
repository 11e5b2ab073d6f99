import { randomBytes, randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { startSupabase, type SupabaseEmulator } from "@pipeline/mocks/supabase";
import { createSupabaseStore } from "@pipeline/storage";
import { createClient } from "@supabase/supabase-js";
import { Upload } from "tus-js-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestApi, type TestApi, uploadAnswer, uploadRequest } from "../testing/test-api.ts";

let emulator: SupabaseEmulator;
let onDisk: TestApi;
let onSupabase: TestApi;
beforeAll(async () => {
  emulator = await startSupabase({ jwtSecret: "the secret of the project's tokens" });
  const storage = createSupabaseStore(emulator);
  await storage.prepare();
  onDisk = await openTestApi();
  onSupabase = await openTestApi({ storage });
});
afterAll(async () => {
  await onDisk.close();
  await onSupabase.close();
  await emulator.close();
});

/** Where a frontend's supabase-js is pointed at, and the API that it asks. */
const PLACES = {
  "the disk store": async () => ({ api: onDisk, url: await addressOf(onDisk) }),
  "Supabase Storage": async () => ({ api: onSupabase, url: emulator.url }),
};
let diskUrl: string | undefined;
async function addressOf(api: TestApi): Promise<string> {
  diskUrl ??= await api.listen();
  return diskUrl;
}

describe.each(Object.entries(PLACES))("with %s the answer to POST /upload is enough", (_, open) => {
  async function ask(bytes: Uint8Array<ArrayBuffer>) {
    const { api, url } = await open();
    const body = uploadRequest({ mime: "application/pdf", filename: "policy.pdf", bytes_len: bytes.byteLength });
    const answer = await api.call({ method: "POST", path: "/upload", user: randomUUID(), body });
    const { upload, resumable } = uploadAnswer.parse(answer.body);
    if (upload === null || resumable === null) throw new Error("The answer holds no link.");
    const readStored = async () => buffer(await api.dependencies.storage.download(upload.path, {}));
    return { upload, resumable, url, readStored };
  }

  it.each([
    ["bytes", (bytes: Uint8Array<ArrayBuffer>) => bytes],
    ["a File", (bytes: Uint8Array<ArrayBuffer>) => new File([bytes], "ü [1].pdf", { type: "application/pdf" })],
  ])("for uploadToSignedUrl of supabase-js with %s", async (_kind, wrap) => {
    const bytes = new Uint8Array(randomBytes(3_000_000));
    const { upload, url, readStored } = await ask(bytes);
    const { storage } = createClient(url, emulator.anonKey);
    const options = { contentType: "application/pdf" };
    const answer = await storage.from(upload.bucket).uploadToSignedUrl(upload.path, upload.token, wrap(bytes), options);
    expect(answer).toMatchObject({ error: null, data: { path: upload.path } });
    expect((await readStored()).equals(bytes)).toBe(true);
  });

  it("for tus-js-client", async () => {
    const bytes = new Uint8Array(randomBytes(7_000_000));
    const { resumable, readStored } = await ask(bytes);
    expect(resumable.chunk_bytes).toBe(6 * 1024 * 1024);
    await new Promise<void>((resolve, reject) => {
      const { url: endpoint, headers, metadata, chunk_bytes: chunkSize } = resumable;
      const options = { endpoint, headers, metadata, chunkSize, retryDelays: null };
      new Upload(Buffer.from(bytes), { ...options, onSuccess: () => resolve(), onError: reject }).start();
    });
    expect((await readStored()).equals(bytes)).toBe(true);
  });
});
