import { z } from "zod";
import { badRequest, invalidFields, type Refused } from "./answers.ts";
import { DEFAULT_LAYOUT, type ParseFile, type ParseOrder } from "./job.ts";
import type { Form } from "./multipart.ts";
import { jsonText } from "./json-text.ts";
import { readPageSelection } from "./page-selection.ts";
import { creditsPerPage } from "./prices.ts";
import { type Webhook, webhookSettingsSchema, webhookUrlSchema } from "./webhook-settings.ts";

/** The service's limit for a job. */
const DEFAULT_TIMEOUT_SECONDS = 1_800;

export interface V1Upload {
  file: ParseFile;
  order: ParseOrder;
}

/** Of the service's 112 fields those that change what a client can see here; the others are taken and ignored. */
function fieldsSchema(webhookHosts: readonly string[]) {
  const flag = z.stringbool().default(false);
  const seconds = z.coerce.number().positive();
  return z.object({
    tier: z.string().optional(),
    version: z.string().optional(),
    parse_mode: z.string().optional(),
    target_pages: z
      .string()
      .transform((selection) => readPageSelection(selection, { offset: 1 }))
      .refine((pages) => pages !== undefined, { error: "target_pages is not a list like 0-2,4" })
      .optional(),
    max_pages: z.coerce.number().int().min(1).optional(),
    page_separator: z.string().default(DEFAULT_LAYOUT.separator),
    page_prefix: z.string().default(DEFAULT_LAYOUT.prefix),
    page_suffix: z.string().default(DEFAULT_LAYOUT.suffix),
    do_not_cache: flag,
    invalidate_cache: flag,
    job_timeout_in_seconds: seconds.default(DEFAULT_TIMEOUT_SECONDS),
    job_timeout_extra_time_per_page_in_seconds: seconds.optional(),
    page_error_tolerance: z.coerce.number().min(0).max(1).optional(),
    replace_failed_page_mode: z.enum(["raw_text", "blank_page", "error_message"]).default(DEFAULT_LAYOUT.failedPage),
    webhook_url: webhookUrlSchema(webhookHosts).optional(),
    webhook_configurations: jsonText.pipe(z.array(webhookSettingsSchema(webhookHosts))).default([]),
  });
}
type Fields = z.infer<ReturnType<typeof fieldsSchema>>;

export function readV1Upload(
  form: Form | undefined,
  options: { projectId: string; webhookHosts: readonly string[] },
): V1Upload | Refused {
  const { fields = {}, file } = form ?? {};
  if (file === undefined) {
    return fields["input_url"] === undefined && fields["input_s3_path"] === undefined
      ? badRequest("One of file, input_url and input_s3_path must be provided")
      : badRequest("The emulator fetches no files: send the file itself");
  }
  if (fields["tier"] !== undefined && fields["version"] === undefined) {
    return badRequest("Must specify a version with a tier");
  }
  const parsed = fieldsSchema(options.webhookHosts).safeParse(fields);
  if (!parsed.success) return invalidFields(parsed.error);
  return { file, order: toOrder(parsed.data, { fields, projectId: options.projectId }) };
}

function toOrder(data: Fields, { fields, projectId }: { fields: Form["fields"]; projectId: string }): ParseOrder {
  return {
    tier: data.tier,
    version: data.version,
    creditsPerPage: creditsPerPage({ tier: data.tier, parseMode: data.parse_mode }),
    targetPages: data.target_pages,
    maxPages: data.max_pages,
    cache: data.do_not_cache ? "avoid" : data.invalidate_cache ? "refresh" : "use",
    timeoutMs: {
      base: data.job_timeout_in_seconds * 1_000,
      perPage: (data.job_timeout_extra_time_per_page_in_seconds ?? 0) * 1_000,
    },
    failureTolerance: data.page_error_tolerance,
    layout: {
      separator: data.page_separator,
      prefix: data.page_prefix,
      suffix: data.page_suffix,
      failedPage: data.replace_failed_page_mode,
    },
    webhooks: [...resultWebhook(data.webhook_url), ...data.webhook_configurations],
    parameters: fields,
    userMetadata: undefined,
    projectId,
  };
}

function resultWebhook(url: string | undefined): Webhook[] {
  return url === undefined ? [] : [{ shape: "result", url }];
}
