import { hasOtherModels, searchChunks, type FoundChunk } from "@pipeline/db";
import { AppError, LIMITS } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { idField } from "../contract/id-param.ts";
import { metadataSchema } from "../contract/metadata.ts";
import { questionSchema } from "../contract/text.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";
import { embedQuestion } from "../search/embed-question.ts";
import { fitTokenBudget } from "../search/fit-token-budget.ts";
import type { ApiSettings } from "../settings.ts";

const searchResult = z.object({
  document_id: z.string(),
  filename: z.string(),
  chunk_id: z.string(),
  text: z.string(),
  /** Cosine, -1 to 1. */
  similarity: z.number(),
  page_start: z.number(),
  page_end: z.number(),
  /** Headings from the outermost to the innermost, joined by " > ". */
  section: z.string().nullable(),
  token_count: z.number(),
});

const searchBody = z.object({
  results: z.array(searchResult),
  used_tokens: z.number(),
  /** Documents in scope were left out, because another model than the one asked embedded them. */
  other_model_documents: z.boolean(),
});

/** The user's passages nearest to a question, with where they stand. Only what was complete once is found. */
export const searchDocuments: FastifyPluginAsyncZod<ApiDependencies> = async (app, dependencies) => {
  const { database, embedder, settings } = dependencies;
  const { search } = settings;
  const responses = {
    200: searchBody,
    ...BODY_PROBLEMS,
    409: problem,
    422: problem,
    ...COMMON_PROBLEMS,
  } as const;
  app.route({
    method: "POST",
    url: "/search",
    config: { isRepeatable: false },
    schema: { body: searchRequest(settings), response: responses },
    handler: async (request) => {
      const { query, limit, threshold, token_budget, document_ids, metadata } = request.body;
      const scope = { user_id: request.userId, model: embedder.model, documentIds: document_ids, metadata };
      const found = await searchChunks(database, {
        ...scope,
        text: query,
        vector: await embedQuestion(dependencies, { user_id: request.userId, query, correlationId: request.id }),
        threshold: threshold ?? search.threshold,
        limit: limit ?? search.maxChunks,
      });
      const other_model_documents = await hasOtherModels(database, scope);
      if (found.length === 0 && other_model_documents) throw modelMismatch();
      const { kept, used_tokens } = fitTokenBudget(found, token_budget ?? search.tokenBudget);
      return { results: kept.map(presentResult), used_tokens, other_model_documents };
    },
  });
};

/** Documents that this search cannot see must not look like documents that hold no answer. */
function modelMismatch(): AppError {
  return new AppError({
    kind: "conflict",
    code: "embedding_model_mismatch",
    message: "Nothing was found, but some documents were embedded by another model than the one asked.",
  });
}

function searchRequest({ search, uploadLimits }: ApiSettings) {
  return z.strictObject({
    query: questionSchema(LIMITS.maxQueryChars),
    limit: z.int().min(1).max(search.maxChunks).optional(),
    threshold: z.number().min(-1).max(1).optional(),
    token_budget: z.int().min(1).max(search.tokenBudget).optional(),
    document_ids: z.array(idField).min(1).max(LIMITS.maxSearchDocuments).optional(),
    metadata: metadataSchema(uploadLimits.maxMetadataBytes).optional(),
  });
}

function presentResult(chunk: FoundChunk): z.output<typeof searchResult> {
  const { section_path, ...facts } = chunk;
  return { ...facts, section: section_path.length > 0 ? section_path.join(" > ") : null };
}
