import { openAsBlob } from "node:fs";
import type { Format } from "@pipeline/runtime";
import { FormData } from "undici";
import { SUBMISSION_KEY, VERSION_KEY } from "./provider-job.ts";
import type { Tier } from "./tiers.ts";
import type { JobTimeouts } from "./timeouts.ts";

/** Where the provider says that a job has ended. HTTPS and a public name: it refuses private addresses. */
export interface WebhookTarget {
  url: string;
  /** Signs every delivery; one per job, so that one job's secret says nothing about another's. */
  signingSecret: string;
}

export interface Submission {
  /** Of the local copy, read as it is sent. */
  path: string;
  format: Format;
  /** Ours, stored before the call: `findJob` finds the provider's job by it if the answer is lost. */
  submissionId: string;
  webhook?: WebhookTarget;
  /** Further labels of the job at the provider; it shows them to whoever has the key. */
  metadata?: Readonly<Record<string, string>>;
}

export interface ParseSettings {
  tier: Tier;
  /** A dated version of the tier, or `latest`. */
  version: string;
  maxPages: number;
  jobTimeouts: JobTimeouts;
}

/** The provider tells formats apart by the file's name. */
const EXTENSIONS: Readonly<Record<Format, string>> = {
  pdf: "pdf",
  docx: "docx",
  html: "html",
  markdown: "md",
  text: "txt",
};

const WEBHOOK_EVENTS = ["parse.success", "parse.partial_success", "parse.error", "parse.cancelled"];

/** The multipart body of a submission, and how many bytes its file has. The customer's own file name stays here. */
export async function buildSubmissionForm(
  submission: Submission,
  settings: ParseSettings,
): Promise<{ form: FormData; bytes: number }> {
  const file = await openAsBlob(submission.path);
  const form = new FormData();
  form.set("configuration", JSON.stringify(buildConfiguration(submission, settings)));
  form.set("file", file, `${submission.submissionId}.${EXTENSIONS[submission.format]}`);
  return { form, bytes: file.size };
}

function buildConfiguration({ submissionId, webhook, metadata }: Submission, settings: ParseSettings) {
  const { tier, version, maxPages, jobTimeouts } = settings;
  return {
    tier,
    version,
    // One page over our limit, so that a longer document is noticed instead of cut.
    page_ranges: { max_pages: maxPages + 1 },
    processing_control: {
      timeouts: {
        base_in_seconds: jobTimeouts.baseSeconds,
        extra_time_per_page_in_seconds: jobTimeouts.perPageSeconds,
      },
    },
    user_metadata: { ...metadata, [SUBMISSION_KEY]: submissionId, [VERSION_KEY]: version },
    ...(webhook === undefined ? {} : { webhook_configurations: [describeWebhook(webhook)] }),
  };
}

function describeWebhook({ url, signingSecret }: WebhookTarget) {
  return {
    webhook_url: url,
    webhook_signing_secret: signingSecret,
    webhook_events: WEBHOOK_EVENTS,
    webhook_output_format: "json",
  };
}
