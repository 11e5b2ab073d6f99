import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { AppError, type Format } from "@pipeline/runtime";
import { watchMemory } from "./memory-watch.ts";
import { createPageCollector } from "./page-collector.ts";
import type { PageCollector } from "./page-collector.ts";
import { parseAborted, parseMemoryLimit, parserCrashed, parseTimeout } from "./parse-errors.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
import type { ParseLimits } from "./parse-limits.ts";
import { childMessageSchema } from "./parse-messages.ts";
import type { ChildMessage, ParseRequest } from "./parse-messages.ts";
import type { ParsedDocument } from "./parsed-document.ts";

export interface ParseInput {
  path: string;
  format: Format;
  limits?: ParseLimits;
  /** Aborting kills the parser and ends the call with a transient `aborted`; the signal's reason is its cause. */
  signal?: AbortSignal;
  onProgress?: (progress: { pages_done: number; pages_total: number }) => void;
}

/**
 * Reads one document in a process of its own, so that whatever the file does ends there: V8's heap, the
 * resident memory and the wall clock are limited, the environment is empty, files can be read but not
 * written, and no other process can be started. When this returns or throws, that process is gone.
 *
 * The errors and their kinds are listed in parse-errors.ts; a success holds the whole text.
 */
export async function parseDocument(input: ParseInput): Promise<ParsedDocument> {
  if (input.signal?.aborted === true) throw parseAborted(input.signal.reason);
  const limits = input.limits ?? DEFAULT_PARSE_LIMITS;
  const child = startChild(limits);
  return superviseChild({ child, input, limits });
}

const CHILD_ENTRY = fileURLToPath(new URL("parse-child.ts", import.meta.url));

function startChild(limits: ParseLimits): ChildProcess {
  return fork(CHILD_ENTRY, [], {
    execPath: process.execPath,
    execArgv: [
      `--max-old-space-size=${limits.heapMb}`,
      // Reading is all a parser needs; the watchdog is a worker thread.
      "--permission",
      "--allow-fs-read=*",
      "--allow-worker",
    ],
    env: {},
    // stderr may quote the document, so nobody gets it.
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
  });
}

type Outcome = { document: ParsedDocument } | { error: unknown };

/** Settles once, with the first decisive thing that happens, and only after the child has gone. */
function superviseChild(context: {
  child: ChildProcess;
  input: ParseInput;
  limits: ParseLimits;
}): Promise<ParsedDocument> {
  const { child, input, limits } = context;
  return new Promise((resolve, reject) => {
    let outcome: Outcome | undefined;
    const decide = (result: Outcome): void => {
      outcome ??= result;
      child.kill("SIGKILL");
    };
    const onAbort = (): void => decide({ error: parseAborted(input.signal?.reason) });
    const timer = setTimeout(() => decide({ error: parseTimeout(limits.timeoutMs) }), limits.timeoutMs);
    const stopWatching = watchMemory({
      pid: child.pid,
      limitMb: limits.rssMb,
      onExceeded: () => decide({ error: parseMemoryLimit() }),
    });
    const finish = (result: Outcome): void => {
      clearTimeout(timer);
      stopWatching();
      input.signal?.removeEventListener("abort", onAbort);
      if ("document" in result) resolve(result.document);
      else reject(result.error);
    };
    const collector = createPageCollector(limits);

    input.signal?.addEventListener("abort", onAbort, { once: true });
    child.on("message", (raw) => {
      if (outcome !== undefined) return;
      const result = receive({ raw, collector, input });
      if (result !== undefined) decide(result);
    });
    child.once("error", (error) => {
      if (child.pid === undefined) finish({ error: parserCrashed(error) });
      else decide({ error: parserCrashed(error) });
    });
    // Not "exit": messages may still be in the pipe then.
    child.once("close", (code, signal) => finish(outcome ?? { error: explainExit(code, signal) }));
    child.send(requestFor(input, limits), (error) => {
      if (error !== null) decide({ error: parserCrashed(error) });
    });
  });
}

function requestFor(input: ParseInput, limits: ParseLimits): ParseRequest {
  return { path: input.path, format: input.format, parent_pid: process.pid, limits };
}

function receive(context: { raw: unknown; collector: PageCollector; input: ParseInput }): Outcome | undefined {
  try {
    return takeMessage(childMessageSchema.parse(context.raw), context);
  } catch (error) {
    return { error: error instanceof AppError ? error : parserCrashed(error) };
  }
}

function takeMessage(
  message: ChildMessage,
  context: { collector: PageCollector; input: ParseInput },
): Outcome | undefined {
  switch (message.type) {
    case "progress":
      context.input.onProgress?.({ pages_done: message.pages_done, pages_total: message.pages_total });
      return undefined;
    case "page":
      context.collector.add({ page_number: message.page_number, text: message.text });
      return undefined;
    case "done": {
      const { parser, parser_version, title, notes, pages_total } = message;
      return { document: { parser, parser_version, title, pages: context.collector.take(pages_total), notes } };
    }
    case "failed": {
      const { kind, code, details } = message;
      return {
        error: new AppError({ kind, code, message: message.message, ...(details === undefined ? {} : { details }) }),
      };
    }
  }
}

/** V8 ends a process that is out of heap by abort or trap; on some platforms that shows as exit code 134 or 133. */
function explainExit(code: number | null, signal: NodeJS.Signals | null): AppError {
  if (signal === "SIGABRT" || signal === "SIGTRAP" || signal === "SIGILL" || code === 134 || code === 133)
    return parseMemoryLimit();
  return parserCrashed(new Error(`The parser ended with code ${code} and signal ${signal}.`));
}
