import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { confirmUpload, type Database, registerUpload } from "@pipeline/db";
import { documentId, mimeOfFilename } from "@pipeline/runtime";
import { createDiskStore, type DiskStore, loadOrCreateSecret } from "@pipeline/storage";

/** The disk store that the workers of a run share. */
export async function openSharedStore(directory: string): Promise<DiskStore> {
  return createDiskStore({
    directory: join(directory, "objects"),
    publicUrl: () => "http://127.0.0.1",
    secret: await loadOrCreateSecret({ directory, name: "storage-secret" }),
  });
}

/** Uploads a file for a user of its own, as the API does, so that the same file can come as often as is wanted. */
export async function submitFile(to: { database: Database; store: DiskStore }, path: string): Promise<void> {
  const { database, store } = to;
  const bytes = await readFile(path);
  const mime = mimeOfFilename(path) ?? "text/plain";
  const [user_id, job_id] = [randomUUID(), randomUUID()];
  const file_sha256 = createHash("sha256").update(bytes).digest("hex");
  const document_id = documentId(user_id, file_sha256);
  const raw_path = `${document_id}/${job_id}`;
  const owner = { user_id, job_id, document_id, correlation_id: job_id };
  const file = { filename: basename(path), mime, bytes_len: bytes.byteLength, file_sha256, raw_path };
  const promise = { ...owner, ...file, metadata: {}, uploadSeconds: 3_600, firstProbeMs: 3_600_000 };
  await database.transaction((tx) => registerUpload(tx, promise));
  const link = { key: raw_path, mime, bytes_len: bytes.byteLength, expiresInSeconds: 60 };
  const { bucket, path: objectPath, token } = await store.signUpload(link);
  const body = createReadStream(path);
  await store.receiveUpload({
    bucket,
    path: objectPath,
    token,
    body,
    contentType: mime,
    contentLength: bytes.byteLength,
  });
  await database.transaction((tx) => confirmUpload(tx, owner));
}
