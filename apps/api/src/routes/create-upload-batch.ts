import { LIMITS } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { STATUS_CODES } from "node:http";
import { z } from "zod";
import { uploadBody, uploadRequest, type UploadBody } from "../contract/upload-body.ts";
import { describeFailure, type Failure } from "../problems/describe-failure.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem, problemSchema, type Problem } from "../problems/problem.ts";
import { acceptUpload, type UploadDependencies } from "../uploads/accept-upload.ts";
import { renewLinks } from "../uploads/renew-links.ts";

const batchRequest = z.strictObject({
  files: z
    .array(z.unknown().meta({ description: "The body of a POST /upload." }))
    .min(1)
    .max(LIMITS.maxBatchFiles),
});

const batchResult = z.object({
  /** What POST /upload would have answered. */
  status: z.int(),
  upload: uploadBody.nullable(),
  problem: problemSchema.nullable(),
});
const batchBody = z.object({ results: z.array(batchResult) });
/** As an answer is kept, without its links. */
const keptResult = z.looseObject({ status: z.int(), upload: z.record(z.string(), z.unknown()).nullable() });
const keptBatch = z.object({ results: z.array(keptResult) });
type BatchResult = z.output<typeof batchResult>;

/**
 * Many uploads in one request, each by itself as POST /upload takes it: one that is refused stops none of the others.
 * The results stand in the files' order. 207, because only they tell what came of it.
 */
export const createUploadBatch: FastifyPluginAsyncZod<UploadDependencies> = async (app, dependencies) => {
  const fileSchema = uploadRequest(dependencies.settings.uploadLimits);
  app.route({
    method: "POST",
    url: "/upload/batch",
    config: {
      renewLinks: async ({ id, userId }, kept) => {
        const results: unknown[] = [];
        for (const result of keptBatch.parse(kept).results) {
          const asked = { user_id: userId, correlation_id: id };
          const renewed = await renewResult(result, (upload) => renewLinks(dependencies, { ...asked, kept: upload }));
          // The others are found again, as uploads that are known.
          if (renewed === undefined) return undefined;
          results.push(renewed);
        }
        return { results };
      },
      isLasting: (answer) => !keptBatch.parse(answer).results.some(({ status }) => isPassing(status)),
    },
    bodyLimit: LIMITS.maxBatchBytes,
    schema: {
      body: batchRequest,
      response: { 207: batchBody, ...BODY_PROBLEMS, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request, reply) => {
      const accept = async (file: unknown): Promise<BatchResult> => {
        try {
          const announced = { user_id: request.userId, correlation_id: request.id, file: fileSchema.parse(file) };
          return accepted(await acceptUpload(dependencies, announced));
        } catch (error) {
          const result = refused(error, request.id);
          // The request's own line tells of the batch alone.
          if (result.status >= 500) dependencies.log.error({ err: error, correlation_id: request.id }, "file refused");
          return result;
        }
      };
      const results: BatchResult[] = [];
      for (let start = 0; start < request.body.files.length; start += AT_ONCE) {
        results.push(...(await Promise.all(request.body.files.slice(start, start + AT_ONCE).map(accept))));
      }
      return reply.code(207).send({ results });
    },
  });
};

type Upload = Record<string, unknown>;

/** Undefined: the upload holds no more. */
async function renewResult(
  result: z.output<typeof keptResult>,
  renew: (upload: Upload) => Promise<Upload | undefined>,
): Promise<Record<string, unknown> | undefined> {
  if (result.upload === null) return result;
  const upload = await renew(result.upload);
  return upload && { ...result, upload };
}

/** The same file, promised later, may be taken. */
function isPassing(status: number): boolean {
  return status === 429 || status >= 500;
}

/** A batch must not take all the connections of the pool. */
const AT_ONCE = 3;

function accepted(upload: UploadBody): BatchResult {
  return { status: upload.duplicate ? 200 : 201, upload, problem: null };
}

function refused(error: unknown, correlation_id: string): BatchResult {
  const { retryAfterSeconds, ...failure } = describeFile(error);
  const title = STATUS_CODES[failure.status] ?? "Error";
  const isLater = retryAfterSeconds !== undefined && isPassing(failure.status);
  const later = isLater ? { retry_after: retryAfterSeconds } : {};
  const body: Problem = { type: "about:blank", title, ...failure, ...later, correlation_id };
  return { status: failure.status, upload: null, problem: body };
}

function describeFile(error: unknown): Failure {
  if (!(error instanceof z.ZodError)) return describeFailure(error);
  return {
    status: 422,
    code: "invalid_request",
    detail: "The file is not described as POST /upload takes it.",
    errors: error.issues.map(({ path, message }) => ({ path: path.join("/"), message })),
  };
}
