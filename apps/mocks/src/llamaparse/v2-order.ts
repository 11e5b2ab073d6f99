import { z } from "zod";
import { invalidFields, type Refused } from "./answers.ts";
import { DEFAULT_LAYOUT, type ParseOrder } from "./job.ts";
import { readPageSelection } from "./page-selection.ts";
import { creditsPerPage } from "./prices.ts";
import { webhookSettingsSchema } from "./webhook-settings.ts";

/** The service's limit for a job. */
const DEFAULT_TIMEOUT_SECONDS = 1_800;

const orUndefined = <T>(value: T | null | undefined): T | undefined => value ?? undefined;

/** Of the configuration what changes anything that a client can see here; the rest is taken and ignored. */
function configurationSchema(webhookHosts: readonly string[]) {
  return z.looseObject({
    tier: z.string(),
    version: z.string(),
    file_id: z.string().nullish().transform(orUndefined),
    source_url: z.string().nullish().transform(orUndefined),
    disable_cache: z.boolean().nullish().transform(orUndefined),
    page_ranges: z
      .object({
        max_pages: z.int().min(1).nullish().transform(orUndefined),
        target_pages: z
          .string()
          .transform((selection) => readPageSelection(selection, { offset: 0 }))
          .refine((pages) => pages !== undefined, { error: "target_pages is not a list like 1,3,5-8" })
          .nullish()
          .transform(orUndefined),
      })
      .nullish()
      .transform(orUndefined),
    processing_control: z
      .object({
        timeouts: z
          .object({
            base_in_seconds: z.number().positive().max(7_200).nullish().transform(orUndefined),
            extra_time_per_page_in_seconds: z.number().positive().max(300).nullish().transform(orUndefined),
          })
          .nullish()
          .transform(orUndefined),
        job_failure_conditions: z
          .object({ allowed_page_failure_ratio: z.number().min(0).max(1).nullish().transform(orUndefined) })
          .nullish()
          .transform(orUndefined),
      })
      .nullish()
      .transform(orUndefined),
    webhook_configurations: z.array(webhookSettingsSchema(webhookHosts)).nullish().transform(orUndefined),
    user_metadata: z.record(z.string(), z.string()).nullish().transform(orUndefined),
  });
}
type Configuration = z.infer<ReturnType<typeof configurationSchema>>;

export interface V2Order {
  order: ParseOrder;
  fileId: string | undefined;
  sourceUrl: string | undefined;
}

export function readV2Order(
  body: unknown,
  options: { projectId: string; webhookHosts: readonly string[] },
): V2Order | Refused {
  const parsed = configurationSchema(options.webhookHosts).safeParse(body);
  if (!parsed.success) return invalidFields(parsed.error);
  const { file_id, source_url } = parsed.data;
  const parameters = z.record(z.string(), z.unknown()).parse(body);
  return {
    order: toOrder(parsed.data, { parameters, projectId: options.projectId }),
    fileId: file_id,
    sourceUrl: source_url,
  };
}

function toOrder(
  data: Configuration,
  { parameters, projectId }: { parameters: Record<string, unknown>; projectId: string },
): ParseOrder {
  const { tier, version, page_ranges: ranges, processing_control: control } = data;
  return {
    tier,
    version,
    creditsPerPage: creditsPerPage({ tier }),
    targetPages: ranges?.target_pages,
    maxPages: ranges?.max_pages,
    cache: data.disable_cache === true ? "avoid" : "use",
    timeoutMs: readTimeouts(control?.timeouts),
    failureTolerance: control?.job_failure_conditions?.allowed_page_failure_ratio,
    layout: DEFAULT_LAYOUT,
    webhooks: data.webhook_configurations ?? [],
    parameters,
    userMetadata: data.user_metadata,
    projectId,
  };
}

function readTimeouts(timeouts: NonNullable<Configuration["processing_control"]>["timeouts"]): ParseOrder["timeoutMs"] {
  return {
    base: (timeouts?.base_in_seconds ?? DEFAULT_TIMEOUT_SECONDS) * 1_000,
    perPage: (timeouts?.extra_time_per_page_in_seconds ?? 0) * 1_000,
  };
}
