import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import type { Connection } from "./connection.ts";
import { jobSchema, type ProviderJob } from "./provider-job.ts";

export interface JobSearch {
  submissionId: string;
  since: Date;
  timeoutMs: number;
  signal?: AbortSignal;
  correlationId?: string;
}

const listSchema = z.object({ items: z.array(jobSchema), next_page_token: z.string().max(4_096).nullish() });

const PAGE_SIZE = 100;
/** 5,000 jobs since the submission are far more than one document's worker waits through. */
const MAX_LIST_PAGES = 50;
/** A page of 100 jobs has about 100 KB. */
const MAX_LIST_BYTES = 8_388_608;
/** The provider's clock and ours. */
const CLOCK_DIFFERENCE_MS = 600_000;

/**
 * The provider cannot search by label, but its list shows them. A job that failed counts only where no other was made
 * for the same submission.
 */
export async function findJob(connection: Connection, search: JobSearch): Promise<ProviderJob | undefined> {
  const { submissionId, since, ...call } = search;
  const createdAfter = new Date(since.getTime() - CLOCK_DIFFERENCE_MS).toISOString();
  let unusable: ProviderJob | undefined;
  let pageToken: string | undefined;
  for (let page = 0; page < MAX_LIST_PAGES; page += 1) {
    const query = new URLSearchParams({
      created_at_on_or_after: createdAfter,
      page_size: String(PAGE_SIZE),
      ...(pageToken === undefined ? {} : { page_token: pageToken }),
    });
    const { items, next_page_token } = await connection.send({
      method: "GET",
      path: `/api/v2/parse?${query.toString()}`,
      maxBytes: MAX_LIST_BYTES,
      answer: listSchema,
      ...call,
    });
    const matches = items.filter((job) => job.submission_id === submissionId);
    const usable = matches.find((job) => job.failure === null);
    if (usable !== undefined) return usable;
    unusable ??= matches[0];
    pageToken = next_page_token ?? undefined;
    if (pageToken === undefined || pageToken === "") return unusable;
  }
  if (unusable !== undefined) return unusable;
  // To say "none" here would have the document sent and paid again.
  throw new AppError({
    kind: "transient",
    code: "llamaparse_jobs_unlisted",
    message: "The parsing service lists more jobs than can be looked through.",
  });
}
