import { createHash, randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { confirmUpload, createNotifier, type Database, registerUpload, type RegisteredUpload } from "@pipeline/db";
import { AppError, documentId } from "@pipeline/runtime";
import type { DiskStore } from "@pipeline/storage";
import { type SampleDocument, writeDocument } from "./documents.ts";
import { patiently } from "./patience.ts";
import type { Random } from "./random.ts";

/** What was promised to be processed. */
export interface SentDocument {
  document_id: string;
  job_id: string;
}

export interface Load {
  sent: SentDocument[];
  /** Uploads repeated although the first was accepted; every one must be recognised as the same. */
  repeated: number;
  /** Repeated uploads that became a second document or job. */
  doubled: { id: string; why: string }[];
  /** Puts one document into the store and its job into the queue; repeats both while the database is away. */
  send(document: SampleDocument): Promise<SentDocument & { user_id: string }>;
  /** The same upload again, by the same user. */
  repeat(document: SampleDocument, sent: { job_id: string; user_id: string }): Promise<void>;
  close(): Promise<void>;
}

const USER_COUNT = 8;

export function createLoad(parts: { database: Database; storage: DiskStore; random: Random }): Load {
  const { database, random } = parts;
  const users = Array.from({ length: USER_COUNT }, () => randomUUID());
  const notifier = createNotifier(database, { onError: () => undefined });
  const load: Load = {
    sent: [],
    repeated: 0,
    doubled: [],
    send: async (document) => {
      const user_id = random.pick(users) ?? "";
      const first = await upload(document, { ...parts, user_id });
      notifier.wake();
      const { document_id, job_id } = first.job;
      load.sent.push({ document_id, job_id });
      return { document_id, job_id, user_id };
    },
    repeat: async (document, { job_id, user_id }) => {
      const again = await upload(document, { ...parts, user_id });
      load.repeated += 1;
      if (again.job.job_id !== job_id) load.doubled.push({ id: again.job.job_id, why: `repeats job ${job_id}` });
    },
    close: () => notifier.close(),
  };
  return load;
}

export interface Pace {
  documents: number;
  seconds: number;
  /** Jobs that are not finished. */
  backlog: () => number;
  signal: AbortSignal;
}

/**
 * Jobs of dead workers included. More would fill every slot and both cores, and a job whose worker died would wait for one:
 * the time until it is taken over is to show the rescue, not a lack of workers.
 */
const LARGEST_BACKLOG = 12;

const REPEATED_SHARE = 0.1;

/** Sends documents evenly over the time, fewer where the workers do not keep up. Ends early when aborted. */
export async function sendSteadily(load: Load, parts: { random: Random; pace: Pace }): Promise<void> {
  const { documents, seconds, backlog, signal } = parts.pace;
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1_000;
  for (let number = 0; number < documents && !signal.aborted; number += 1) {
    const dueAt = startedAt + (number * seconds * 1_000) / documents;
    while (!signal.aborted && (performance.now() < dueAt || backlog() >= LARGEST_BACKLOG)) {
      if (performance.now() > endsAt) return;
      await delay(20);
    }
    if (signal.aborted) return;
    const document = writeDocument(parts.random, number);
    const sent = await load.send(document);
    if (parts.random.next() < REPEATED_SHARE) await load.repeat(document, sent);
  }
}

/** As the API does it: the promise, the file, the confirmation. Each step may run again. */
async function upload(
  document: SampleDocument,
  parts: { database: Database; storage: DiskStore; user_id: string },
): Promise<RegisteredUpload> {
  const { database, storage, user_id } = parts;
  const promise = promiseOf(document, user_id);
  const registered = await patiently(() => database.transaction((tx) => registerUpload(tx, promise)));
  await put(storage, { document, key: registered.document.raw_path });
  await patiently(() => database.transaction((tx) => confirmUpload(tx, promise)));
  return registered;
}

function promiseOf({ filename, mime, bytes }: SampleDocument, user_id: string) {
  const file_sha256 = createHash("sha256").update(bytes).digest("hex");
  const document_id = documentId(user_id, file_sha256);
  const job_id = randomUUID();
  return {
    document_id,
    job_id,
    user_id,
    filename,
    mime,
    bytes_len: bytes.byteLength,
    file_sha256,
    raw_path: `${document_id}/${job_id}`,
    metadata: {},
    correlation_id: randomUUID(),
    uploadSeconds: 3_600,
    firstProbeMs: 60_000,
  };
}

async function put(storage: DiskStore, file: { document: SampleDocument; key: string }): Promise<void> {
  const { mime, bytes } = file.document;
  const link = await storage.signUpload({ key: file.key, mime, bytes_len: bytes.byteLength, expiresInSeconds: 60 });
  const body = Readable.from([bytes]);
  try {
    const { bucket, path, token } = link;
    await storage.receiveUpload({ bucket, path, token, body, contentType: mime, contentLength: bytes.byteLength });
  } catch (error) {
    // The same upload again: the file is there.
    if (!(error instanceof AppError && error.code === "upload_already_received")) throw error;
  }
}
