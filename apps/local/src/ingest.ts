import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { STATUSES } from "@pipeline/db";
import { toAppError } from "@pipeline/runtime";
import type { Client, JobAnswer } from "./client.ts";
import type { ProgressLines } from "./progress-lines.ts";

/** What became of one file. */
export type IngestedFile =
  | { path: string; name: string; complete: true; document_id: string }
  | { path: string; name: string; complete: false; code: string; message: string };

/** Short documents are shown as they go; after some seconds once a second is soon enough, and spares the API's limits. */
const FIRST_POLL_MS = 100;
const LAST_POLL_MS = 1_000;

/** Uploads one file and watches its job to the end, showing each change. Never throws: a failure is a result. */
export async function ingestFile(client: Client, path: string, lines: ProgressLines): Promise<IngestedFile> {
  const name = basename(path);
  const fail = (code: string, message: string, percent = 0): IngestedFile => {
    lines.update(path, { percent, status: "failed", note: `${code}: ${message}` });
    return { path, name, complete: false, code, message };
  };
  try {
    lines.update(path, { percent: 0, status: "uploading" });
    const { job_id, document_id, duplicate } = await client.upload(path);
    const job = await watchJob(client, job_id, (now) => {
      lines.update(path, { percent: now.progress.percent, status: describe(now) });
    });
    if (job.state !== "done") {
      return fail(job.last_error?.code ?? job.state, job.last_error?.message ?? "", job.progress.percent);
    }
    const statuses = await client.listStatuses(job_id);
    if (statuses.join() !== STATUSES.join()) return fail("history_incomplete", statuses.join(" → "), 100);
    lines.update(path, {
      percent: 100,
      status: "complete",
      note: `${statuses.length} statuses in order${duplicate ? ", uploaded before" : ""}`,
    });
    return { path, name, complete: true, document_id };
  } catch (error) {
    const { code, message } = toAppError(error);
    return fail(code, message);
  }
}

async function watchJob(client: Client, jobId: string, onChange: (job: JobAnswer) => void): Promise<JobAnswer> {
  for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 1.05, LAST_POLL_MS)) {
    const job = await client.getJob(jobId);
    if (["done", "deadletter", "cancelled"].includes(job.state)) return job;
    onChange(job);
    await delay(pauseMs);
  }
}

function describe(job: JobAnswer): string {
  return job.state === "working" || job.state === "queued" ? job.status : `${job.status} (${job.state})`;
}
