import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { parseDays } from "./format/age.ts";

/** Adds a command that can answer in JSON. */
export function addCommand(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).option("--json", "print JSON", false);
}

/** An option's value as the schema has it; commander's action is given `unknown` by its own promise only. */
export const flags = z.object({ json: z.boolean() });

/** At most this many rows in one answer. */
const MOST_ROWS = 1_000;

export function parseLimit(text: string): number {
  return parseWith(z.coerce.number().int().min(1).max(MOST_ROWS), text, `a number from 1 to ${MOST_ROWS} is needed`);
}

export function parseUser(text: string): string {
  return parseWith(z.guid().toLowerCase(), text, "the user's whole id is needed, a UUID");
}

export function parseTime(text: string): Date {
  const time = z.union([z.iso.datetime({ offset: true }), z.iso.date()]);
  return new Date(parseWith(time, text, "a time such as 2026-01-31T12:00:00Z is needed"));
}

export function parseAge(text: string): number {
  const days = parseDays(text);
  if (days === undefined) throw new InvalidArgumentError("an age such as 12h, 30d or 4w is needed.");
  return days;
}

/** What follows could be an option whose own text was forgotten: `--reason --json`. */
export function parseText(text: string): string {
  if (text.startsWith("--")) throw new InvalidArgumentError("a text is needed, not another option.");
  return text;
}

function parseWith<T>(schema: z.ZodType<T>, text: string, needed: string): T {
  const parsed = schema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`${needed}.`);
  return parsed.data;
}
