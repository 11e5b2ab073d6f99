import { z } from "zod";
import { isStorable } from "./text.ts";

/** A JSON object, flat or nested, of at most `maxBytes` as compact JSON in UTF-8, that a jsonb column takes unchanged. */
export function metadataSchema(maxBytes: number): z.ZodType<Record<string, unknown>> {
  return z.record(z.string(), z.unknown()).superRefine((metadata, context) => {
    const fault = findFault(metadata, maxBytes);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  });
}

function findFault(metadata: Record<string, unknown>, maxBytes: number): string | undefined {
  const tooLarge = `must not be longer than ${maxBytes} bytes of JSON`;
  let isUnchanged = true;
  try {
    const json = JSON.stringify(metadata, (key, value: unknown) => {
      isUnchanged &&= isStorable(key) && isStorableValue(value);
      return value;
    });
    if (Buffer.byteLength(json) > maxBytes) return tooLarge;
  } catch (error) {
    // Nested deeper than the stack takes; that needs many times the bytes allowed.
    if (error instanceof RangeError) return tooLarge;
    throw error;
  }
  return isUnchanged ? undefined : "must hold well-formed Unicode without NUL and finite numbers only";
}

function isStorableValue(value: unknown): boolean {
  if (typeof value === "string") return isStorable(value);
  return typeof value !== "number" || Number.isFinite(value);
}
