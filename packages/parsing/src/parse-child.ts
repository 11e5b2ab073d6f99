import { Worker } from "node:worker_threads";
import { AppError } from "@pipeline/runtime/errors";
import { boundTitle } from "./bound-title.ts";
import { countFormat } from "./count-format.ts";
import { damagedFile, parseMemoryLimit, parserCrashed, textTooLarge, tooManyPages } from "./parse-errors.ts";
import type { ParseLimits } from "./parse-limits.ts";
import { parseFormat } from "./parse-format.ts";
import { parseRequestSchema } from "./parse-messages.ts";
import type { ChildMessage, ParseRequest } from "./parse-messages.ts";
import type { ParsedDocument } from "./parsed-document.ts";

/** The entry of the process that works on one document: takes one request, answers, exits. */
process.once("message", (raw) => {
  void answer(raw).finally(() => process.exit(0));
});

async function answer(raw: unknown): Promise<void> {
  const request = parseRequestSchema.parse(raw);
  new Worker(new URL("parse-watchdog.ts", import.meta.url), { workerData: request.parent_pid }).unref();
  try {
    if (request.task === "count") await send({ type: "counted", ...(await countFormat(request)) });
    else await sendDocument(await parse(request));
  } catch (error) {
    await send(failureOf(error));
  }
}

async function parse(request: ParseRequest): Promise<ParsedDocument> {
  const document = await parseFormat({
    ...request,
    onProgress: (pagesDone, pagesTotal) => {
      void send({ type: "progress", pages_done: pagesDone, pages_total: pagesTotal });
    },
  });
  checkSize(document, request.limits);
  // The whole text can be its title, and counts nowhere.
  return { ...document, title: boundTitle(document.title) };
}

function checkSize(document: ParsedDocument, limits: ParseLimits): void {
  if (document.pages.length > limits.maxPages) throw tooManyPages(document.pages.length, limits.maxPages);
  const chars = document.pages.reduce((total, page) => total + page.text.length, 0);
  if (chars > limits.maxTextChars) throw textTooLarge(limits.maxTextChars);
}

async function sendDocument(document: ParsedDocument): Promise<void> {
  for (const page of document.pages) await send({ type: "page", ...page });
  const { parser, parser_version, title, notes } = document;
  await send({ type: "done", parser, parser_version, title, notes, pages_total: document.pages.length });
}

/** Resolves when the message has left this process, so that pages never pile up here. */
function send(message: ChildMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, undefined, undefined, (error: Error | null) =>
      error === null ? resolve() : reject(error),
    );
  });
}

function failureOf(error: unknown): ChildMessage {
  const { kind, code, message, details } = explain(error);
  const known = kind === "permanent" || kind === "too_large" || kind === "transient" ? kind : "internal";
  return { type: "failed", kind: known, code, message, ...(details === undefined ? {} : { details }) };
}

/** The library's own words stay here: they may quote the document. */
function explain(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof RangeError) {
    return /call stack/i.test(error.message)
      ? damagedFile("The document is nested too deeply to be read.", error)
      : parseMemoryLimit();
  }
  return parserCrashed(error);
}
