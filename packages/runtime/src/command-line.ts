import type { z } from "zod";

/** For commander's `parseAsync` (`from: "user"`), `configureOutput` and `exitOverride`, the last two before any subcommand is added. */
export interface CommandLine {
  args: string[];
  output: { writeErr: (text: string) => void };
  exit: (end: { exitCode: number }) => never;
}

/**
 * What command lines with `--json` share. Wrong usage exits with `usageExitCode`, and with `--json` it is told as any other
 * failure is. A reader that goes away early, as `head` does, leaves the exit code as it would have been. The `--` that pnpm
 * hands on in front of the arguments is dropped.
 */
export function readCommandLine(given: readonly string[], { usageExitCode }: { usageExitCode: number }): CommandLine {
  leaveClosedPipes();
  const args = given[0] === "--" ? given.slice(1) : [...given];
  // One fault can be told in several parts, and JSON is one document.
  let told = "";
  return {
    args,
    output: { writeErr: (text) => void (told += text) },
    exit: ({ exitCode }) => {
      if (exitCode === 0) process.exit(0);
      const fault = { code: "usage", message: told.trim().replace(/^error: /, "") };
      process.stderr.write(asksForJson(args) ? formatFailure(fault) : told);
      process.exit(usageExitCode);
    },
  };
}

/** A command's options, or its end with a line for each that is wrong. Of an option given several times its name is told. */
export function parseOptions<T>(schema: z.ZodType<T>, raw: unknown, command: { error(message: string): never }): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  return command.error(parsed.error.issues.map(({ path, message }) => `--${nameOf(path)}: ${message}`).join("\n"));
}

function nameOf(path: readonly PropertyKey[]): string {
  return path.filter((part) => typeof part === "string").join(".");
}

/** A failure as every command with `--json` tells it on standard error. */
export function formatFailure({ code, message }: { code: string; message: string }): string {
  return `${JSON.stringify({ error: { code, message } })}\n`;
}

function leaveClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}

/** Looked for by hand: where usage is wrong the options were not read. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).includes("--json");
}
