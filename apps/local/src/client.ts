import { createHash } from "node:crypto";
import { createReadStream, openAsBlob } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { AppError, mimeOfFilename } from "@pipeline/runtime";
import { z } from "zod";

const problem = z.object({ status: z.number(), code: z.string(), detail: z.string().optional() });

const uploadAnswer = z.object({
  job_id: z.string(),
  document_id: z.string(),
  duplicate: z.boolean(),
  upload: z.object({ method: z.string(), headers: z.record(z.string(), z.string()) }).nullable(),
  signed_url: z.string().nullable(),
});
export type UploadAnswer = z.infer<typeof uploadAnswer>;

const jobAnswer = z.object({
  job_id: z.string(),
  document_id: z.string(),
  status: z.string(),
  state: z.string(),
  progress: z.looseObject({ percent: z.number() }),
  last_error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type JobAnswer = z.infer<typeof jobAnswer>;

const eventsAnswer = z.object({
  events: z.array(z.object({ event_id: z.number(), type: z.string(), status: z.string(), state: z.string() })),
});

const searchAnswer = z.object({
  results: z.array(
    z.object({
      document_id: z.string(),
      filename: z.string(),
      text: z.string(),
      similarity: z.number(),
      page_start: z.number(),
      page_end: z.number(),
      section: z.string().nullable(),
    }),
  ),
});
export type SearchResult = z.infer<typeof searchAnswer>["results"][number];

/** The API as a frontend uses it. Problem answers become AppErrors with the API's own code. */
export interface Client {
  upload(path: string): Promise<UploadAnswer>;
  getJob(jobId: string): Promise<JobAnswer>;
  /** The statuses that the job's events tell, each once, in their order. */
  listStatuses(jobId: string): Promise<string[]>;
  search(query: string, documentIds?: string[]): Promise<SearchResult[]>;
}

export function createClient(options: { url: string; token: string }): Client {
  const call = async <T>(path: string, answer: z.ZodType<T>, body?: unknown): Promise<T> => {
    const response = await request(`${options.url}/api/upload-pipeline${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${options.token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw await problemOf(response);
    return answer.parse(await response.json());
  };
  return {
    upload: async (path) => {
      const answer = await call("/upload", uploadAnswer, await describeFile(path));
      if (answer.signed_url !== null && answer.upload !== null) {
        await putFile(path, answer.signed_url, answer.upload);
        await call(`/documents/${answer.document_id}/uploaded`, z.unknown(), {});
      }
      return answer;
    },
    getJob: (jobId) => call(`/jobs/${jobId}`, jobAnswer),
    listStatuses: async (jobId) => {
      const { events } = await call(`/jobs/${jobId}/events?limit=100`, eventsAnswer);
      return [...new Set(events.map((event) => event.status))];
    },
    search: async (query, documentIds) => {
      const scope = documentIds === undefined ? {} : { document_ids: documentIds };
      return (await call("/search", searchAnswer, { query, ...scope })).results;
    },
  };
}

interface FileDescription {
  filename: string;
  mime: string;
  bytes_len: number;
  sha256: string;
}

async function describeFile(path: string): Promise<FileDescription> {
  const facts = await stat(path).catch((cause: unknown) => {
    throw new AppError({ kind: "not_found", code: "file_not_found", message: "There is no such file.", cause });
  });
  if (!facts.isFile()) throw new AppError({ kind: "invalid", code: "not_a_file", message: "This is not a file." });
  const filename = basename(path);
  const mime = mimeOfFilename(filename);
  if (mime === undefined) {
    throw new AppError({
      kind: "invalid",
      code: "unsupported_type",
      message: "Its name ends in none of .pdf, .docx, .html, .md or .txt.",
    });
  }
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return { filename, mime, bytes_len: facts.size, sha256: hash.digest("hex") };
}

async function putFile(path: string, url: string, upload: NonNullable<UploadAnswer["upload"]>): Promise<void> {
  const body = await openAsBlob(path);
  const response = await request(url, { method: upload.method, headers: upload.headers, body });
  if (response.ok) return void (await response.arrayBuffer());
  const refusal = await problemOf(response);
  // Another upload of the same file was faster, or an earlier answer was lost: what matters is that it is there.
  if (refusal.code !== "upload_already_received") throw refusal;
}

/** A busy API says when to come again; a person at the command line would rather wait than be told so. */
const MOST_REPEATS = 5;
const LONGEST_WAIT_SECONDS = 60;

async function request(url: string, init: RequestInit): Promise<Response> {
  for (let repeats = 0; ; repeats++) {
    const response = await send(url, init);
    const waitSeconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    const isAsked = [429, 503].includes(response.status) && waitSeconds <= LONGEST_WAIT_SECONDS;
    if (!isAsked || repeats === MOST_REPEATS) return response;
    await response.arrayBuffer();
    await delay(waitSeconds * 1_000);
  }
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    const { origin } = new URL(url);
    const message = `Nothing answers at ${origin}. Is the API running there? Otherwise --url says where.`;
    throw new AppError({ kind: "transient", code: "api_unreachable", message, cause });
  }
}

async function problemOf(response: Response): Promise<AppError> {
  const body = problem.safeParse(await response.json().catch(() => undefined));
  const code = body.success ? body.data.code : "unexpected_answer";
  const message = (body.success ? body.data.detail : undefined) ?? `The API answered ${response.status}.`;
  return new AppError({ kind: response.status === 401 ? "unauthorized" : "invalid", code, message });
}
