import { API_PREFIX } from "../../contract/urls.ts";
import { CHUNK_ID, DOCUMENT_ID, FILENAME, METADATA, PASSAGE, SECTION } from "../examples.ts";
import type { Operations } from "../operation.ts";

export const searchOperations: Operations = {
  [`POST ${API_PREFIX}/search`]: {
    id: "searchDocuments",
    tag: "search",
    access: "user",
    summary: "Passages nearest to a question",
    description:
      "Only complete documents of the caller are searched. No result is below `threshold`, and results that do not fit " +
      "`token_budget` are left out. `metadata` keeps documents whose metadata contains it. `other_model_documents` tells of " +
      "documents that were left out because another model embedded them; where nothing is found besides, that is 409.",
    codes: [
      "embedding_model_mismatch",
      "budget_exhausted",
      "embedding_timeout",
      "embedding_unavailable",
      "embedding_rate_limited",
      "embedding_quota_exhausted",
      "embedding_unauthorized",
      "embedding_model_not_found",
      "embedding_rejected",
      "embedding_too_large",
      "embedding_invalid",
    ],
    body: { query: "What is the deductible for out-patient care?", limit: 5, metadata: METADATA },
    answers: {
      200: {
        description: "Passages, best first.",
        example: {
          results: [
            {
              document_id: DOCUMENT_ID,
              filename: FILENAME,
              chunk_id: CHUNK_ID,
              text: PASSAGE,
              similarity: 0.83,
              page_start: 12,
              page_end: 12,
              section: SECTION,
              token_count: 12,
            },
          ],
          used_tokens: 12,
          other_model_documents: false,
        },
      },
    },
  },
};
