import { AppError } from "@pipeline/runtime";
import { expect, test } from "vitest";
import { httpFailure, invalidAnswer, jobNotFound, timedOut, unavailable } from "./failures.ts";
import { judgeLlamaParseFailure, judgeSubmission } from "./judge-failure.ts";

test.for([
  { error: httpFailure(500, undefined), blame: "provider", submission: "failed" },
  { error: httpFailure(502, undefined), blame: "provider", submission: "failed" },
  { error: httpFailure(503, undefined), blame: "provider", submission: "failed" },
  { error: httpFailure(504, undefined), blame: "provider", submission: "unknown" },
  { error: httpFailure(408, undefined), blame: "provider", submission: "unknown" },
  { error: timedOut(), blame: "provider", submission: "unknown" },
  { error: unavailable("It is gone.", { never_sent: true }), blame: "provider", submission: "refused" },
  { error: httpFailure(401, undefined), blame: "account", submission: "refused" },
  { error: httpFailure(402, undefined), blame: "account", submission: "refused" },
  { error: httpFailure(429, "3"), blame: "pace", submission: "refused" },
  { error: httpFailure(413, undefined), blame: "none", submission: "refused" },
  { error: invalidAnswer("it is not JSON"), blame: "answer", submission: "unknown" },
  { error: jobNotFound(), blame: "none", submission: "unknown" },
] as const)(
  "$error.code with $error.details is the blame of $blame, and a submission is then $submission",
  ({ error, blame, submission }) => {
    expect(judgeLlamaParseFailure(error)).toBe(blame);
    expect(judgeSubmission(error)).toBe(submission);
  },
);

test("what is no failure of a call says nothing of the provider", () => {
  expect(judgeLlamaParseFailure(new Error("aborted"))).toBe("none");
  expect(judgeLlamaParseFailure(new AppError({ kind: "transient", code: "stage_timeout", message: "Late." }))).toBe(
    "none",
  );
});
