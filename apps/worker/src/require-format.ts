import { AppError, type Format, formatOfMime } from "@pipeline/runtime";

/** The format of a document whose bytes were verified; `verify` let no other type pass. */
export function requireFormat(mime: string): Format {
  const format = formatOfMime(mime);
  if (format !== undefined) return format;
  throw new AppError({
    kind: "permanent",
    code: "unsupported_type",
    message: "Files of this type are not taken.",
  });
}
