import { readUploadUsage } from "@pipeline/db";
import { LIMITS, SUPPORTED_MIME_TYPES } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { isoTime } from "../contract/iso-time.ts";
import type { ApiDependencies } from "../dependencies.ts";
import type { RequestUsage } from "../limits/request-counter.ts";
import { COMMON_PROBLEMS } from "../problems/problem.ts";

const allowance = z.object({ limit: z.int(), used: z.int(), remaining: z.int() });

const limitsBody = z.object({
  max_bytes: z.int(),
  max_pages: z.int(),
  supported_mime_types: z.array(z.string()),
  upload_link_seconds: z.int(),
  max_filename_chars: z.int(),
  /** Of `metadata`, as compact JSON in UTF-8. */
  max_metadata_bytes: z.int(),
  /** Of any JSON request body. */
  max_request_bytes: z.int(),
  /** Files in one batch, and the bytes of its JSON. */
  max_batch_files: z.int(),
  max_batch_bytes: z.int(),
  max_streams: z.int().meta({
    description:
      "Streams of job progress that a user may have open at once in each process of the API; several processes let through as many times more.",
  }),
  /** The largest `limit` of the lists. */
  max_page_size: z.int(),
  /** Of one user, over all processes of the service: what is allowed, used and left. */
  uploads: z.object({
    /** Files that are not done yet, retries and reprocessings among them. */
    in_flight: allowance,
    per_day: allowance.extend({ resets_at: isoTime }),
  }),
  requests: z
    .object({
      per_user: allowance.extend({ resets_at: isoTime }),
      /** Whoever asks from there. */
      per_address: allowance.extend({ resets_at: isoTime }),
    })
    .meta({
      description:
        "In this minute, over all processes of the API, which tell each other what they counted twice a second and more often towards the limit. It is near, not exact: each process can let through a few more, seldom more than a twentieth of it.",
    }),
  search: z.object({
    max_query_chars: z.int(),
    /** The largest `limit`, and the one that applies when none is asked for; so is the token budget. */
    max_results: z.int(),
    max_token_budget: z.int(),
    max_document_ids: z.int(),
    default_threshold: z.number(),
  }),
});

/** Every limit that applies, read from where it is enforced. */
export const getUploadLimits: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, settings }) => {
  const { uploadLimits, uploadAllowance, search } = settings;
  app.route({
    method: "GET",
    url: "/upload/limits",
    schema: { response: { 200: limitsBody, ...COMMON_PROBLEMS } },
    handler: async ({ userId, requestUsage }) => {
      const usage = await readUploadUsage(database, userId);
      return {
        max_bytes: uploadLimits.maxFileBytes,
        max_pages: uploadLimits.maxPages,
        supported_mime_types: [...SUPPORTED_MIME_TYPES],
        upload_link_seconds: uploadLimits.uploadLinkSeconds,
        max_filename_chars: uploadLimits.maxFilenameChars,
        max_metadata_bytes: uploadLimits.maxMetadataBytes,
        max_request_bytes: LIMITS.maxRequestBytes,
        max_batch_files: LIMITS.maxBatchFiles,
        max_batch_bytes: LIMITS.maxBatchBytes,
        max_streams: LIMITS.maxStreamsPerUser,
        max_page_size: LIMITS.maxPageSize,
        uploads: {
          in_flight: allow(uploadAllowance.maxInFlight, usage.in_flight),
          per_day: { ...allow(uploadAllowance.maxPerDay, usage.today), resets_at: usage.resets_at },
        },
        requests: { per_user: allowRequests(requestUsage.user), per_address: allowRequests(requestUsage.address) },
        search: {
          max_query_chars: LIMITS.maxQueryChars,
          max_results: search.maxChunks,
          max_token_budget: search.tokenBudget,
          max_document_ids: LIMITS.maxSearchDocuments,
          default_threshold: search.threshold,
        },
      };
    },
  });
};

function allow(limit: number, used: number): z.infer<typeof allowance> {
  return { limit, used, remaining: Math.max(0, limit - used) };
}

function allowRequests(usage: RequestUsage | null) {
  if (usage === null) throw new Error("The route stands outside the request limits.");
  return { ...allow(usage.limit, usage.used), resets_at: usage.resets_at };
}
