import type { FastifyInstance, FastifyRequest } from "fastify";
import { refuse, resultNotFound } from "./answers.ts";
import { hasResult, type Job } from "./job.ts";
import type { LlamaParseDesk } from "./desk.ts";
import { readV1Upload } from "./v1-order.ts";
import { v1Markdown, v1Pages, v1Text } from "./v1-result.ts";

/** `/api/v1/parsing`, and the older name that clients still use. */
const PREFIXES = ["/api/v1/parsing", "/api/parsing"];

type JobRequest = FastifyRequest<{ Params: { id: string } }>;

export function addV1Routes(api: FastifyInstance, desk: LlamaParseDesk): void {
  for (const prefix of PREFIXES) {
    api.post(`${prefix}/upload`, async (request, reply) => {
      const { projectId, webhookHosts } = desk.settingsOf(request);
      const read = readV1Upload(desk.formOf(request), { projectId, webhookHosts });
      if (!("order" in read)) return refuse(reply, read);
      const submitted = desk.submit(read, reply);
      if ("detail" in submitted) return refuse(reply, submitted);
      return { id: submitted.id, status: "PENDING", error_code: null, error_message: null };
    });
    api.get(`${prefix}/job/:id`, async (request: JobRequest, reply) => {
      const job = desk.poll(request.params.id);
      return "detail" in job ? refuse(reply, job) : describeJob(job);
    });
    addResultRoutes(api, { prefix, desk });
    api.get(`${prefix}/job/:id/parameters`, async (request: JobRequest, reply) => {
      const job = desk.poll(request.params.id);
      return "detail" in job ? refuse(reply, job) : job.order.parameters;
    });
    api.get(`${prefix}/supported_file_extensions`, () => SUPPORTED_EXTENSIONS);
  }
}

/** Those that the pipeline takes; the real list has more than a hundred. */
const SUPPORTED_EXTENSIONS = [".pdf", ".docx", ".html", ".htm", ".md", ".txt"];

function addResultRoutes(api: FastifyInstance, { prefix, desk }: { prefix: string; desk: LlamaParseDesk }): void {
  const results: [name: string, read: (job: Job) => Record<string, unknown>][] = [
    ["markdown", (job) => ({ markdown: v1Markdown(job) })],
    ["text", (job) => ({ text: v1Text(job) })],
    ["json", (job) => ({ pages: v1Pages(job) })],
  ];
  for (const [name, read] of results) {
    api.get(`${prefix}/job/:id/result/${name}`, async (request: JobRequest, reply): Promise<unknown> => {
      const job = desk.poll(request.params.id);
      if ("detail" in job) return refuse(reply, job);
      return hasResult(job)
        ? { ...read(job), job_metadata: describeUsage(job, desk) }
        : refuse(reply, resultNotFound(request.params.id));
    });
  }
}

/** The error's fields are there only where there is one. */
function describeJob(job: Job): unknown {
  const status = job.status === "RUNNING" ? "PENDING" : job.status;
  if (job.error === undefined) return { id: job.id, status };
  return { id: job.id, status, error_code: job.error.code, error_message: job.error.message };
}

function describeUsage(job: Job, desk: LlamaParseDesk): unknown {
  const credits = desk.settledCredits(job) ?? 0;
  return {
    credits_used: credits,
    job_credits_usage: credits,
    job_pages: job.pages.length,
    job_is_cache_hit: job.isCacheHit,
  };
}
