/** How long the provider may work on a job, in its own terms. */
export interface JobTimeouts {
  baseSeconds: number;
  perPageSeconds: number;
}

/** 500 pages get 30 minutes, the provider's own limit of a job. */
export const DEFAULT_JOB_TIMEOUTS: JobTimeouts = { baseSeconds: 300, perPageSeconds: 3 };

/** The provider's clock starts after its queue, and its last word has to reach us. */
const GRACE_MS = 120_000;

/** A job that is still not at its end after this long, counted from its submission, has been forgotten. */
export function longestJobMs(pageCount: number, timeouts: JobTimeouts = DEFAULT_JOB_TIMEOUTS): number {
  return (timeouts.baseSeconds + timeouts.perPageSeconds * pageCount) * 1_000 + GRACE_MS;
}

/** An upload at 64 KiB/s, the slowest line that is worth waiting for. */
const SLOWEST_UPLOAD_BYTES_PER_MS = 65.536;

export function uploadTimeoutMs(callTimeoutMs: number, bytes: number): number {
  return callTimeoutMs + Math.ceil(bytes / SLOWEST_UPLOAD_BYTES_PER_MS);
}

/** Results are assembled when they are asked for; a page has up to 64 KB. */
const RESULT_PAGE_MS = 200;

export function resultTimeoutMs(callTimeoutMs: number, pageCount: number): number {
  return callTimeoutMs + pageCount * RESULT_PAGE_MS;
}
