import { API_PREFIX } from "../../contract/urls.ts";
import { COMPLETE_DOCUMENT } from "../examples.ts";
import type { Operations } from "../operation.ts";

export const documentOperations: Operations = {
  [`GET ${API_PREFIX}/documents`]: {
    id: "listDocuments",
    tag: "documents",
    access: "user",
    summary: "The user's documents, newest first",
    codes: ["invalid_cursor"],
    answers: {
      200: {
        description: "A page of documents; `next_cursor` is null at the end.",
        example: { documents: [COMPLETE_DOCUMENT], next_cursor: null },
      },
    },
  },
  [`GET ${API_PREFIX}/documents/{document_id}`]: {
    id: "getDocument",
    tag: "documents",
    access: "user",
    summary: "One document",
    codes: ["document_not_found"],
    answers: { 200: { description: "The document, with what became of its newest job.", example: COMPLETE_DOCUMENT } },
  },
};
