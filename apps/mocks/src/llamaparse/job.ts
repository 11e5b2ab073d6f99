import type { PageItem } from "./page-items.ts";
import type { Webhook } from "./webhook-settings.ts";

/** v1 shows RUNNING as PENDING; v2 shows both successes as COMPLETED and ERROR as FAILED. */
export type JobStatus = "PENDING" | "RUNNING" | "SUCCESS" | "PARTIAL_SUCCESS" | "ERROR" | "CANCELLED";

/** What ends a job, by the file or by how it was asked for. */
export const JOB_ERRORS = [
  "UNSUPPORTED_FILE_TYPE",
  "PDF_IS_PROTECTED",
  "PDF_IS_BROKEN",
  "NO_DATA_FOUND_IN_FILE",
  "DOCUMENT_TOO_LARGE",
  "TOO_MANY_PAGES",
  "TIMEOUT",
  "INVALID_TIER_VERSION_COMBINATION",
] as const;
export type JobError = (typeof JOB_ERRORS)[number];

export interface ParseFile {
  name: string;
  mime: string;
  bytes: Buffer;
  sha256: string;
}

/** What a client asks for, whichever API it speaks. */
export interface ParseOrder {
  tier: string | undefined;
  version: string | undefined;
  creditsPerPage: number;
  /** Numbers from 1; undefined means all. */
  targetPages: readonly number[] | undefined;
  maxPages: number | undefined;
  cache: "use" | "refresh" | "avoid";
  /** The wall clock of the job: so much, and so much more for each page. */
  timeoutMs: { base: number; perPage: number };
  /** The share of pages that may fail before the whole job does; without it any share may. */
  failureTolerance: number | undefined;
  layout: PageLayout;
  webhooks: Webhook[];
  /** What was sent, as it was sent. */
  parameters: Record<string, unknown>;
  userMetadata: Record<string, string> | undefined;
  projectId: string;
}

/** How v1 writes pages into one text. */
export interface PageLayout {
  separator: string;
  prefix: string;
  suffix: string;
  failedPage: "raw_text" | "blank_page" | "error_message";
}

export const DEFAULT_LAYOUT: PageLayout = {
  separator: "\n\n---\n\n",
  prefix: "",
  suffix: "",
  failedPage: "raw_text",
};

export interface ResultPage {
  page: number;
  md: string;
  text: string;
  items: PageItem[];
  /** Why the page could not be read. */
  error: string | undefined;
}

export interface Job {
  id: string;
  /** The same for the same file in the same order of submissions, unlike the id; what is drawn for the job depends on it. */
  key: string;
  fileName: string;
  fileSha256: string;
  order: ParseOrder;
  status: JobStatus;
  error: { code: JobError; message: string } | undefined;
  pages: ResultPage[];
  isCacheHit: boolean;
  /** What is billed for it; 0 until it has ended. */
  credits: number;
  createdAt: number;
  updatedAt: number;
  /** How often its state or result was asked for. */
  pollCount: number;
  /** Whether the answer to its submission did not reach the client. */
  isAnswerLost: boolean;
  isDeleted: boolean;
}

export function isTerminal({ status }: Job): boolean {
  return status !== "PENDING" && status !== "RUNNING";
}

export function hasResult({ status }: Job): boolean {
  return status === "SUCCESS" || status === "PARTIAL_SUCCESS";
}
