import { randomUUID } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { z } from "zod";
import { badRequest, invalidFields, refuse, type Refused } from "./answers.ts";
import type { LlamaParseDesk } from "./desk.ts";
import { isTerminal, type Job, type ParseFile } from "./job.ts";
import { jsonText } from "./json-text.ts";
import { readV2Order } from "./v2-order.ts";
import { v2Job, v2Result } from "./v2-result.ts";

type JobRequest = FastifyRequest<{ Params: { id: string } }>;

export function addV2Routes(api: FastifyInstance, desk: LlamaParseDesk): void {
  addSubmitRoutes(api, desk);
  addListRoutes(api, desk);
  const describe = (job: Job): unknown => v2Job(job, { credits: desk.settledCredits(job) });

  api.get("/api/v2/parse/:id", async (request: JobRequest, reply) => {
    const job = desk.poll(request.params.id);
    if ("detail" in job) return refuse(reply, job);
    const { expand } = z.object({ expand: repeated }).parse(request.query);
    return { job: describe(job), ...v2Result(job, expand) };
  });
  api.post("/api/v2/parse/:id/cancel", async (request: JobRequest, reply) => {
    const job = desk.find(request.params.id);
    if ("detail" in job) return refuse(reply, job);
    return desk.runner.cancel(job) ? describe(job) : refuse(reply, badRequest("The job is at its end already"));
  });
  api.delete("/api/v2/parse/:id", async (request: JobRequest, reply) => {
    const job = desk.find(request.params.id);
    if ("detail" in job) return refuse(reply, job);
    if (!isTerminal(job)) return refuse(reply, badRequest("The job is under way: cancel it first"));
    job.isDeleted = true;
    return { id: job.id, project_id: job.order.projectId };
  });
}

/** A parameter that may come once, more often or not at all. */
const repeated = z
  .union([z.string(), z.array(z.string())])
  .default([])
  .transform((values) => [values].flat());

function addSubmitRoutes(api: FastifyInstance, desk: LlamaParseDesk): void {
  const files = new Map<string, ParseFile>();
  const findFile = (id: string | undefined): ParseFile | Refused => {
    if (id === undefined) return badRequest("Either file_id or source_url must be provided");
    return files.get(id) ?? { status: 404, detail: "File not found" };
  };
  api.post("/api/v1/beta/files", async (request, reply) => {
    const file = desk.formOf(request)?.file;
    if (file === undefined) return refuse(reply, missingField("file"));
    const id = randomUUID();
    files.set(id, file);
    return { id, name: file.name, project_id: desk.settingsOf(request).projectId, purpose: "parse" };
  });
  api.post("/api/v2/parse", async (request, reply) => {
    const read = readV2Order(request.body, desk.settingsOf(request));
    if (!("order" in read)) return refuse(reply, read);
    if (read.sourceUrl !== undefined) {
      return refuse(reply, badRequest("The emulator fetches no files: send the file itself"));
    }
    const file = findFile(read.fileId);
    if ("detail" in file) return refuse(reply, file);
    return answerSubmission(desk.submit({ file, order: read.order }, reply), (refused) => refuse(reply, refused));
  });
  api.post("/api/v2/parse/upload", async (request, reply) => {
    const form = desk.formOf(request);
    if (form?.file === undefined) return refuse(reply, missingField("file"));
    const configuration = z.object({ configuration: jsonText }).safeParse(form.fields);
    if (!configuration.success) return refuse(reply, invalidFields(configuration.error));
    const read = readV2Order(configuration.data.configuration, desk.settingsOf(request));
    if (!("order" in read)) return refuse(reply, read);
    const submitted = desk.submit({ file: form.file, order: read.order }, reply);
    return answerSubmission(submitted, (refused) => refuse(reply, refused));
  });
}

function answerSubmission(submitted: Job | Refused, refuseWith: (refused: Refused) => unknown): unknown {
  return "detail" in submitted ? refuseWith(submitted) : v2Job(submitted, { credits: undefined });
}

function missingField(name: string): Refused {
  return { status: 422, detail: [{ loc: ["body", name], msg: "Field required", type: "missing" }] };
}

const listQuery = z.object({
  page_size: z.coerce.number().int().min(1).max(1_000).default(100),
  page_token: z.string().regex(/^\d+$/).optional(),
  status: z.enum(["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]).optional(),
});

function addListRoutes(api: FastifyInstance, desk: LlamaParseDesk): void {
  api.get("/api/v2/parse", async (request, reply) => {
    const parsed = listQuery.safeParse(request.query);
    if (!parsed.success) return refuse(reply, invalidFields(parsed.error));
    const { page_size, page_token, status } = parsed.data;
    const jobs = desk.store.list().map((job) => v2Job(job, { credits: desk.settledCredits(job) }));
    const wanted = jobs.toReversed().filter((job) => status === undefined || job["status"] === status);
    const start = Number(page_token ?? 0);
    const end = start + page_size;
    return {
      items: wanted.slice(start, end),
      next_page_token: end < wanted.length ? String(end) : null,
      total_size: wanted.length,
    };
  });
  api.get("/api/v2/parse/versions", () => VERSIONS);
}

/** A few of the real ones. */
const VERSIONS = {
  fast: ["2026-06-15", "2025-12-11"],
  cost_effective: ["2026-06-15", "2025-12-11"],
  agentic: ["2026-08-19", "2025-12-11"],
  agentic_plus: ["2026-08-19", "2025-12-11"],
  latest: { fast: "2026-06-15", cost_effective: "2026-06-15", agentic: "2026-08-19", agentic_plus: "2026-08-19" },
};
