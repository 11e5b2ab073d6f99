import { renewUpload, type Database, type RegisteredUpload, type UploadJob, type UploadPromise } from "@pipeline/db";
import type { ObjectStore, SignedUpload } from "@pipeline/storage";

export interface OpenedUpload {
  /** As it is after a renewal. */
  job: UploadJob;
  /** Undefined where no bytes are missing. */
  link: SignedUpload | undefined;
}

export interface UploadLinkInput {
  registered: RegisteredUpload;
  /** What is promised now; left out where a request is not done again. */
  promise?: UploadPromise;
  uploadSeconds: number;
  correlation_id: string;
}

/** The link for a registered upload's bytes: always for a new job, for one that exists while they are missing. */
export async function openUploadLink(
  system: { database: Database; storage: ObjectStore },
  { registered, ...renewal }: UploadLinkInput,
): Promise<OpenedUpload> {
  const { database, storage } = system;
  const { document, job, duplicate } = registered;
  if (!duplicate) return { job, link: await signLink(storage, { key: document.raw_path, promised: document, job }) };
  if (job.status !== "uploaded" || (await storage.stat(document.raw_path))) return { job, link: undefined };
  const renewed = await database.transaction((tx) => renewUpload(tx, job, renewal));
  if (!renewed) return { job, link: undefined };
  // While the job waits for its bytes the newest promise is on its document; later the one it was claimed with counts.
  const promised = (renewed.state === "waiting" && renewal.promise) || document;
  return { job: renewed, link: await signLink(storage, { key: document.raw_path, promised, job: renewed }) };
}

/** The link dies at the second at which the row says so, however long its signing took. */
function signLink(
  storage: ObjectStore,
  upload: { key: string; promised: { mime: string; bytes_len: number }; job: UploadJob },
): Promise<SignedUpload> {
  const { key, promised, job } = upload;
  const expiresAt = job.upload_expires_at?.getTime() ?? 0;
  const seconds = Math.floor(expiresAt / 1_000) - Math.floor(Date.now() / 1_000);
  return storage.signUpload({
    key,
    mime: promised.mime,
    bytes_len: promised.bytes_len,
    expiresInSeconds: Math.max(1, seconds),
  });
}
