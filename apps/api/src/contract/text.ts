import { z } from "zod";

/** True for what Postgres can store as text: no NUL, no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** A file's name as its owner sees it; never used as a path. */
export function filenameSchema(maxChars: number): z.ZodType<string> {
  return z
    .string()
    .max(maxChars)
    .refine((name) => name.trim() !== "", { error: "must not be blank" })
    .refine((name) => !/[/\\]/.test(name), { error: "must be a name without a path: no / and no \\" })
    .refine((name) => !/[\p{Cc}\u2028\u2029]/u.test(name), { error: "must not hold control characters" })
    .refine((name) => name.isWellFormed(), { error: "must be well-formed Unicode" });
}

/** A question in a person's words. */
export function questionSchema(maxChars: number): z.ZodType<string> {
  return z
    .string()
    .max(maxChars)
    .refine((question) => question.trim() !== "", { error: "must not be blank" })
    .refine(isStorable, { error: "must be well-formed Unicode without NUL" });
}
