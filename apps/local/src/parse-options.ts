import type { Command } from "commander";
import type { z } from "zod";

/** A command's options, or its end with a line for each that is wrong. */
export function parseOptions<T>(schema: z.ZodType<T>, raw: unknown, command: Command): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  return command.error(
    parsed.error.issues.map(({ path, message }) => `--${path[0]?.toString() ?? ""}: ${message}`).join("\n"),
  );
}
