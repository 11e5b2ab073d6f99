import { AppError } from "@pipeline/runtime";

/** For whoever is known here, but is not the service. */
export function serviceRoleRequired(): AppError {
  return new AppError({
    kind: "forbidden",
    code: "service_role_required",
    message: "This call needs a token of the service role.",
  });
}
