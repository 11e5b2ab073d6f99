import { AppError } from "@pipeline/runtime";

/** One answer for every reason, so that it tells nothing to whoever tries; the reason is its cause. */
export function unauthorized(cause?: unknown): AppError {
  return new AppError({
    kind: "unauthorized",
    code: "unauthorized",
    message: "This call needs a valid bearer token of a user.",
    cause,
  });
}
