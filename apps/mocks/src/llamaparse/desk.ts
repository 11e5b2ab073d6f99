import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { badRequest, FILE_TOO_LARGE, JOB_NOT_FOUND, NO_CREDITS, RATE_LIMITED, type Refused } from "./answers.ts";
import type { RateBudget } from "../emulator/rate-budget.ts";
import type { Job, ParseFile, ParseOrder } from "./job.ts";
import type { JobRunner } from "./job-runner.ts";
import type { JobStore } from "./job-store.ts";
import { readMarkers } from "./markers.ts";
import type { Form } from "./multipart.ts";

/** What the routes of both APIs work with. */
export interface LlamaParseDesk {
  store: JobStore;
  runner: JobRunner;
  formOf: (request: FastifyRequest) => Form | undefined;
  settingsOf: (request: FastifyRequest) => { projectId: string; webhookHosts: readonly string[] };
  /** Begins a job, or says why there is none. */
  submit(upload: { file: ParseFile; order: ParseOrder }, reply: FastifyReply): Job | Refused;
  /** The job of this id, or why there is none. */
  find(id: string): Job | Refused;
  /** The same, and counts the look. */
  poll(id: string): Job | Refused;
  /** What billing has recorded, undefined while it has not. */
  settledCredits(job: Job): number | undefined;
}

export interface DeskParts extends Pick<LlamaParseDesk, "store" | "runner" | "formOf"> {
  webhookHosts: readonly string[];
  maxFileBytes: number;
  /** How many uploads are taken; undefined means all. */
  uploadRate: RateBudget | undefined;
  /** Uploads are refused once so many credits are used. */
  creditLimit: number;
  billingDelayMs: number;
  now: () => number;
}

/** Of whoever names none. */
const DEFAULT_PROJECT_ID = "00000000-0000-4000-8000-000000000001";

export function createDesk(parts: DeskParts): LlamaParseDesk {
  const { store, runner } = parts;
  const find = (id: string): Job | Refused => {
    if (!z.uuid().safeParse(id).success) return badRequest("Invalid job id");
    return store.find(id) ?? JOB_NOT_FOUND;
  };
  return {
    store,
    runner,
    formOf: parts.formOf,
    settingsOf: ({ query }) => ({ projectId: readProjectId(query), webhookHosts: parts.webhookHosts }),
    submit({ file, order }, reply) {
      const refused = findRefusal(file, parts);
      if (refused !== undefined) return refused;
      const job = runner.submit(file, order);
      reply.raw.once("close", () => {
        job.isAnswerLost = !reply.raw.writableFinished;
      });
      return job;
    },
    find,
    poll(id) {
      const job = find(id);
      if (!("detail" in job)) job.pollCount += 1;
      return job;
    },
    settledCredits: (job) => (parts.now() >= job.updatedAt + parts.billingDelayMs ? job.credits : undefined),
  };
}

function readProjectId(query: unknown): string {
  const given = typeof query === "object" && query !== null && "project_id" in query ? query.project_id : undefined;
  return typeof given === "string" ? given : DEFAULT_PROJECT_ID;
}

function findRefusal(file: ParseFile, parts: DeskParts): Refused | undefined {
  if (parts.uploadRate?.take(1) === false) return RATE_LIMITED;
  const { uploadStatus } = readMarkers(file);
  if (uploadStatus !== undefined && uploadStatus >= 400 && uploadStatus <= 599) {
    return uploadStatus === NO_CREDITS.status ? NO_CREDITS : { status: uploadStatus, detail: "As the file asked." };
  }
  if (file.bytes.length > parts.maxFileBytes) return FILE_TOO_LARGE;
  return parts.store.credits() >= parts.creditLimit ? NO_CREDITS : undefined;
}
