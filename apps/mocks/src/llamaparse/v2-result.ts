import { hasResult, type Job, type JobStatus, type ResultPage } from "./job.ts";
import type { PageItem } from "./page-items.ts";

const STATUSES: Readonly<Record<JobStatus, string>> = {
  PENDING: "PENDING",
  RUNNING: "RUNNING",
  SUCCESS: "COMPLETED",
  PARTIAL_SUCCESS: "COMPLETED",
  ERROR: "FAILED",
  CANCELLED: "CANCELLED",
};

export function v2Job(job: Job, { credits }: { credits: number | undefined }): Record<string, unknown> {
  return {
    id: job.id,
    project_id: job.order.projectId,
    status: STATUSES[job.status],
    error_message: job.error === undefined ? null : `${job.error.code}: ${job.error.message}`,
    name: job.fileName,
    tier: job.order.tier ?? null,
    created_at: new Date(job.createdAt).toISOString(),
    updated_at: new Date(job.updatedAt).toISOString(),
    usage: { credits: credits ?? null },
    user_metadata: job.order.userMetadata ?? null,
  };
}

/** What `expand` asks for; null while there is no result. A page that failed says so in its own entry. */
export function v2Result(job: Job, expand: readonly string[]): Record<string, unknown> {
  const parts = Object.entries(READERS).filter(([name]) => expand.includes(name));
  return Object.fromEntries(parts.map(([name, read]) => [name, hasResult(job) ? read(job) : null]));
}

const READERS: Readonly<Record<string, (job: Job) => unknown>> = {
  markdown: ({ pages }) => ({ pages: pages.map((page) => orFailure(page, describeMarkdown)) }),
  text: ({ pages }) => ({ pages: pages.map(({ page, text }) => ({ page_number: page, text })) }),
  items: ({ pages }) => ({ pages: pages.map((page) => orFailure(page, describeItems)) }),
  metadata: ({ pages }) => ({ pages: pages.map(({ page }) => ({ page_number: page, confidence: 1 })) }),
  job_metadata: ({ pages, isCacheHit }) => ({ job_pages: pages.length, job_is_cache_hit: isCacheHit }),
  markdown_full: ({ pages }) => pages.map(({ md }) => md).join("\n\n"),
  text_full: ({ pages }) => pages.map(({ text }) => text).join("\n\n"),
};

function orFailure(page: ResultPage, describe: (page: ResultPage) => Record<string, unknown>): unknown {
  if (page.error !== undefined) return { page_number: page.page, success: false, error: page.error };
  return { page_number: page.page, success: true, ...describe(page) };
}

function describeMarkdown({ md }: ResultPage): Record<string, unknown> {
  return { markdown: md, header: null, footer: null };
}

/** A US letter page in points; nothing here knows the real size. */
function describeItems({ items }: ResultPage): Record<string, unknown> {
  return { items: items.map(describeItem), page_width: 612, page_height: 792 };
}

function describeItem(item: PageItem): unknown {
  return { ...item, bbox: [{ x: 0, y: 0, w: 612, h: 792 }] };
}
