import { AppError } from "@pipeline/runtime";
import { expect, test } from "vitest";
import { judgeEmbeddingFailure } from "./judge-failure.ts";

const failure = (code: string, details?: Record<string, unknown>) =>
  new AppError({ kind: "transient", code, message: "A test.", ...(details === undefined ? {} : { details }) });

test.for([
  { thrown: failure("embedding_rate_limited", { status: 429 }), blame: "pace", mayBeBilled: false },
  { thrown: failure("embedding_quota_exhausted", { status: 429 }), blame: "account", mayBeBilled: false },
  { thrown: failure("embedding_unauthorized", { status: 401 }), blame: "account", mayBeBilled: false },
  { thrown: failure("embedding_rejected", { status: 400 }), blame: "input", mayBeBilled: false },
  { thrown: failure("embedding_unavailable", { status: 503 }), blame: "provider", mayBeBilled: false },
  { thrown: failure("embedding_unavailable", { never_sent: true }), blame: "provider", mayBeBilled: false },
  { thrown: failure("embedding_unavailable"), blame: "provider", mayBeBilled: true },
  { thrown: failure("embedding_invalid"), blame: "provider", mayBeBilled: true },
  { thrown: new Error("aborted"), blame: "ours", mayBeBilled: true },
] as const)("$thrown.code is the $blame's, and billed: $mayBeBilled", ({ thrown, blame, mayBeBilled }) => {
  expect(judgeEmbeddingFailure(thrown)).toEqual({ blame, mayBeBilled });
});
