import { AppError, LIMITS } from "@pipeline/runtime";
import { z } from "zod";
import { type Connection, openConnection } from "./connection.ts";
import { configurationInvalid, invalidAnswer, jobNotFound, jobUnfinished, textTooLarge } from "./failures.ts";
import { findJob } from "./find-job.ts";
import { isEnded, jobSchema, type ProviderJob } from "./provider-job.ts";
import {
  type PageTexts,
  type ProviderResult,
  readPages,
  readResult,
  type RefusedResult,
  resultSchema,
} from "./read-result.ts";
import { buildSubmissionForm, type ParseSettings, type Submission } from "./submission-form.ts";
import type { Tier } from "./tiers.ts";
import { DEFAULT_JOB_TIMEOUTS, type JobTimeouts, resultTimeoutMs, uploadTimeoutMs } from "./timeouts.ts";

export interface LlamaParseOptions {
  apiKey: string;
  /** Of the region that the key belongs to; defaults to North America. */
  baseUrl?: string;
  tier: Tier;
  /** A dated version of the tier, or `latest`. */
  version: string;
  maxPages?: number;
  /** Characters (UTF-16 units) of a whole result. */
  maxTextChars?: number;
  jobTimeouts?: JobTimeouts;
  connectTimeoutMs?: number;
  /** For a call that moves neither a file nor a result; those get more, by size. */
  callTimeoutMs?: number;
  /** How often a question is asked that meets a fault by chance; 3 by default. What sends or cancels is sent once. */
  mostAsks?: number;
}

export interface CallOptions {
  signal?: AbortSignal;
  correlationId?: string;
}

export interface FindJobQuery {
  submissionId: string;
  /** When the submission id was stored: nothing older is looked at. */
  since: Date;
}

export interface ResultOptions extends CallOptions {
  /** Pages of the document where they are known. */
  pageCount?: number;
}

/**
 * LlamaParse's API. Questions are asked again after a fault by chance, nothing else is. Each failure is an AppError whose kind says whether to try
 * again, or the signal's reason; none quotes the key, the document or the provider.
 */
export interface LlamaParseClient {
  /**
   * Sends the file and answers with the job to be stored. A failure does not mean that there is no job: the answer may
   * have been lost. Ask `findJob` before the same submission is sent again.
   */
  submit: (submission: Submission, options?: CallOptions) => Promise<ProviderJob>;
  /** How long `submit` takes at most for a file of so many bytes, in milliseconds. */
  longestSubmitMs: (bytes: number) => number;
  /** The job of a submission, one that can still be used before one that failed; undefined where there is none. */
  findJob: (query: FindJobQuery, options?: CallOptions) => Promise<ProviderJob | undefined>;
  /** Throws `llamaparse_job_not_found` for a job that the provider does not know. */
  status: (id: string, options?: CallOptions) => Promise<ProviderJob>;
  /**
   * What the provider read, also where it cannot be taken. Throws the job's failure, `llamaparse_job_unfinished` while it runs,
   * `llamaparse_job_not_found`, and `text_too_large` for an answer that is too long to be read.
   */
  result: (id: string, options?: ResultOptions) => Promise<ProviderResult | RefusedResult>;
  /** Resolves once the job runs no more, whoever ended it. */
  cancel: (id: string, options?: CallOptions) => Promise<void>;
  /** Lists a single job, which costs nothing: the address answers, and the key is good there. */
  check: (options?: CallOptions) => Promise<void>;
  /** Waits for calls in hand. */
  close: () => Promise<void>;
}

const BASE_URL = "https://api.cloud.llamaindex.ai";
const CONNECT_TIMEOUT_MS = 10_000;
const CALL_TIMEOUT_MS = 60_000;
/** As the local parser has it: about 4,000 dense pages. */
const MAX_TEXT_CHARS = 10_000_000;

/** A job has about 1 KB. */
const MAX_JOB_BYTES = 1_048_576;
/** 500 pages of the provider's 64 KB each, with room for what JSON escapes. */
const MAX_RESULT_BYTES = 50_331_648;

/** Works with version 2 of the API alone: jobs of version 1 can neither be found again nor be cancelled. */
export function createLlamaParseClient(options: LlamaParseOptions): LlamaParseClient {
  const { baseUrl = BASE_URL, connectTimeoutMs = CONNECT_TIMEOUT_MS, apiKey, mostAsks } = options;
  const settings = readSettings(options);
  const connection = openConnection({ apiKey, baseUrl: baseUrl.replace(/\/+$/, ""), connectTimeoutMs, mostAsks });
  const client = { connection, settings };
  return {
    submit: (submission, call = {}) => submit(client, submission, call),
    longestSubmitMs: (bytes) => uploadTimeoutMs(settings.callTimeoutMs, bytes),
    findJob: (query, call = {}) => findJob(connection, { ...query, timeoutMs: settings.callTimeoutMs, ...call }),
    status: (id, call = {}) => getJob(client, id, call),
    result: (id, call = {}) => getResult(client, id, call),
    cancel: (id, call = {}) => cancel(client, id, call),
    check: (call = {}) => check(client, call),
    close: () => connection.close(),
  };
}

interface Settings extends ParseSettings {
  maxTextChars: number;
  callTimeoutMs: number;
}

interface Client {
  connection: Connection;
  settings: Settings;
}

function readSettings(options: LlamaParseOptions): Settings {
  if (!/^[\w.-]{1,64}$/.test(options.version)) {
    throw configurationInvalid("The parsing service's version must be a date or `latest`.");
  }
  return {
    tier: options.tier,
    version: options.version,
    maxPages: options.maxPages ?? LIMITS.maxPages,
    maxTextChars: options.maxTextChars ?? MAX_TEXT_CHARS,
    jobTimeouts: options.jobTimeouts ?? DEFAULT_JOB_TIMEOUTS,
    callTimeoutMs: options.callTimeoutMs ?? CALL_TIMEOUT_MS,
  };
}

async function submit(
  { connection, settings }: Client,
  submission: Submission,
  call: CallOptions,
): Promise<ProviderJob> {
  const { form, bytes } = await buildSubmissionForm(submission, settings);
  return connection.send({
    method: "POST",
    path: "/api/v2/parse/upload",
    body: form,
    timeoutMs: uploadTimeoutMs(settings.callTimeoutMs, bytes),
    maxBytes: MAX_JOB_BYTES,
    answer: jobSchema,
    ...call,
  });
}

async function getJob({ connection, settings }: Client, id: string, call: CallOptions): Promise<ProviderJob> {
  const { job } = await connection.send({
    method: "GET",
    path: `${pathOf(id)}?expand=usage`,
    timeoutMs: settings.callTimeoutMs,
    maxBytes: MAX_JOB_BYTES,
    answer: z.object({ job: jobSchema }),
    notFound: jobNotFound(),
    ...call,
  });
  return assertId(job, id);
}

async function getResult(client: Client, id: string, options: ResultOptions): Promise<ProviderResult | RefusedResult> {
  const { settings } = client;
  const { pageCount = 0 } = options;
  // The fast tier has no Markdown; for every other the text would double the answer.
  const { job, pages } = (await getPages(client, { id, expand: "markdown", ...options })) ??
    (await getPages(client, { id, expand: "text", ...options })) ?? { job: undefined, pages: undefined };
  if (job === undefined) throw invalidAnswer("a finished job has no pages");
  return readResult({ job, pages, pageCount, limits: settings });
}

interface PagesQuery extends ResultOptions {
  id: string;
  expand: "markdown" | "text";
}

async function getPages(
  { connection, settings }: Client,
  { id, expand, pageCount = settings.maxPages, ...call }: PagesQuery,
): Promise<{ job: ProviderJob; pages: PageTexts } | undefined> {
  const answer = await connection.send({
    method: "GET",
    path: `${pathOf(id)}?expand=${expand}&expand=usage`,
    timeoutMs: resultTimeoutMs(settings.callTimeoutMs, pageCount),
    maxBytes: MAX_RESULT_BYTES,
    tooLong: textTooLarge({ limit_bytes: MAX_RESULT_BYTES }),
    answer: resultSchema,
    notFound: jobNotFound(),
    ...call,
  });
  const job = assertId(answer.job, id);
  if (job.failure !== null) throw job.failure;
  if (!isEnded(job)) throw jobUnfinished();
  const pages = readPages(answer);
  return pages === undefined || pages.size === 0 ? undefined : { job, pages };
}

async function cancel(client: Client, id: string, call: CallOptions): Promise<void> {
  const { connection, settings } = client;
  try {
    await connection.send({
      method: "POST",
      path: `${pathOf(id)}/cancel`,
      timeoutMs: settings.callTimeoutMs,
      maxBytes: MAX_JOB_BYTES,
      answer: jobSchema,
      notFound: jobNotFound(),
      ...call,
    });
  } catch (error) {
    call.signal?.throwIfAborted();
    // A job at its end is refused, and the service does not say that this is why.
    if (!(await isGone(client, id, call))) throw error;
  }
}

async function check({ connection, settings }: Client, call: CallOptions): Promise<void> {
  await connection.send({
    method: "GET",
    path: "/api/v2/parse?page_size=1",
    timeoutMs: settings.callTimeoutMs,
    maxBytes: MAX_JOB_BYTES,
    answer: z.object({ items: z.array(z.unknown()) }),
    ...call,
  });
}

async function isGone(client: Client, id: string, call: CallOptions): Promise<boolean> {
  try {
    return isEnded(await getJob(client, id, call));
  } catch (error) {
    return error instanceof AppError && error.code === "llamaparse_job_not_found";
  }
}

function pathOf(id: string): string {
  return `/api/v2/parse/${encodeURIComponent(id)}`;
}

function assertId(job: ProviderJob, id: string): ProviderJob {
  if (job.id !== id) throw invalidAnswer("it is about another job");
  return job;
}
