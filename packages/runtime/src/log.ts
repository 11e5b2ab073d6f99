import { destination, pino, type DestinationStream, type Logger } from "pino";
import { AppError } from "./errors.ts";

export type { Logger } from "pino";

export interface LogOptions {
  level: string;
  /** Which service writes: "api", "worker", … */
  service: string;
  /** Defaults to standard output. */
  stream?: DestinationStream;
}

/**
 * JSON lines, data first. Errors are written through an allow-list, because messages of drivers and providers repeat
 * what they were sent: document text, tokens, keys.
 */
export function createLogger(options: LogOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { service: options.service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError, error: describeError },
      redact: { paths: ["req.headers", "headers", "token", "signed_url", "url"], censor: "[redacted]" },
    },
    options.stream ?? standardOutput(),
  );
}

/**
 * Lines are written together, ten times a second: one alone wakes a thread, which is a third of what a small request costs.
 * Those from a warning on wait for nothing but a block that is being written. All are written before the process ends, unless
 * it is killed.
 */
function standardOutput(): DestinationStream & { lastLevel: number; flushSync: () => void } {
  const output = destination({ dest: 1, minLength: GATHERED_BYTES });
  let timer: NodeJS.Timeout | undefined;
  let isDue = false;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    isDue = true;
    output.flush();
  };
  // While a block is being written a flush does nothing; this is its end.
  output.on("drain", () => {
    if (!isDue) return;
    isDue = false;
    output.flush();
  });
  return {
    // Asks pino to say which level the line has.
    [Symbol.for("pino.metadata")]: true,
    lastLevel: 0,
    write(line) {
      output.write(line);
      if (this.lastLevel === WARN || this.lastLevel === ERROR) flush();
      else timer ??= setTimeout(flush, GATHER_MS).unref();
    },
    // Which pino calls behind a fatal line, after which the process ends.
    flushSync: () => output.flushSync(),
  };
}

/** pino's numbers of the levels. */
const WARN = 40;
const ERROR = 50;
const GATHERED_BYTES = 4_096;
const GATHER_MS = 100;

/** What may be told of any thrown value: our own message, a foreign error's class and code, and where it happened. */
export function describeError(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { type: typeof thrown };
  return {
    type: thrown.name,
    ...(thrown instanceof AppError
      ? { kind: thrown.kind, code: thrown.code, message: thrown.message }
      : codesOf(thrown)),
    stack: framesOf(thrown),
    ...(thrown.cause === undefined ? {} : { cause: describeError(thrown.cause) }),
  };
}

/** Fields of foreign errors that name a kind of fault and never quote data. */
const SAFE_FIELDS = ["code", "errno", "syscall", "severity", "constraint", "table", "column", "routine", "status"];

/** SQLSTATE "insufficient privilege", whose message names what is withheld and quotes no data. */
const PRIVILEGE_MISSING = "42501";

function codesOf(error: Error): Record<string, unknown> {
  const fields = new Map(Object.entries(error));
  const found = SAFE_FIELDS.filter((field) => ["string", "number"].includes(typeof fields.get(field)));
  const isTelling = fields.get("code") === PRIVILEGE_MISSING;
  return {
    ...Object.fromEntries(found.map((field) => [field, fields.get(field)])),
    ...(isTelling ? { message: error.message } : {}),
  };
}

/** The stack without its first lines, which repeat the message. */
function framesOf(error: Error): string[] {
  return (error.stack ?? "")
    .split("\n")
    .filter((line) => line.trimStart().startsWith("at "))
    .map((line) => line.trim());
}
