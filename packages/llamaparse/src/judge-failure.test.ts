import { AppError } from "@pipeline/runtime";
import { expect, test } from "vitest";
import { httpFailure, invalidAnswer, jobNotFound, timedOut, unavailable } from "./failures.ts";
import { judgeLlamaParseFailure, wasRefused } from "./judge-failure.ts";

test.for([
  { error: httpFailure(500, undefined), blame: "provider", refused: true },
  { error: httpFailure(503, undefined), blame: "provider", refused: true },
  { error: httpFailure(504, undefined), blame: "provider", refused: false },
  { error: httpFailure(408, undefined), blame: "provider", refused: false },
  { error: timedOut(), blame: "provider", refused: false },
  { error: unavailable("It is gone.", { never_sent: true }), blame: "provider", refused: true },
  { error: httpFailure(401, undefined), blame: "account", refused: true },
  { error: httpFailure(402, undefined), blame: "account", refused: true },
  { error: httpFailure(429, "3"), blame: "pace", refused: true },
  { error: httpFailure(413, undefined), blame: "none", refused: true },
  { error: invalidAnswer("it is not JSON"), blame: "answer", refused: false },
  { error: jobNotFound(), blame: "none", refused: false },
] as const)(
  "$error.code with $error.details is the blame of $blame, and refused: $refused",
  ({ error, blame, refused }) => {
    expect(judgeLlamaParseFailure(error)).toBe(blame);
    expect(wasRefused(error)).toBe(refused);
  },
);

test("what is no failure of a call says nothing of the provider", () => {
  expect(judgeLlamaParseFailure(new Error("aborted"))).toBe("none");
  expect(judgeLlamaParseFailure(new AppError({ kind: "transient", code: "stage_timeout", message: "Late." }))).toBe(
    "none",
  );
});
