import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, parseOptions } from "@pipeline/runtime";
import { Command } from "commander";
import { z } from "zod";
import { createClient } from "./client.ts";
import { loadLocalConfig, OWN_DATABASE } from "./config.ts";
import { ingestFile, type IngestedFile } from "./ingest.ts";
import { createProgressLines } from "./progress-lines.ts";
import {
  ask,
  questionsFromDocument,
  readSampleQuestions,
  type Answer,
  type AskContext,
  type Question,
  questionSchema,
} from "./questions.ts";
import { formatAnswer, formatFailures } from "./report.ts";
import { repeatable } from "./repeatable.ts";
import { startStack, type LocalStack } from "./stack.ts";

const SAMPLES_DIRECTORY = join(import.meta.dirname, "../../../samples");
const SAMPLES = ["benefits-booklet.pdf", "home-policy.docx", "renewal-letter.md", "claims-guide.html"];
/** Fewer confirmed answers than this and the demo has not shown what it promises. */
const LEAST_CONFIRMED = 2;

const optionsSchema = z.object({ ask: z.array(questionSchema).default([]), verbose: z.boolean() });

await new Command("demo")
  .description(
    "Boots the whole system on embedded stand-ins with fresh data, ingests documents, asks questions, prints cited answers.",
  )
  .argument("[files...]", "PDF, DOCX, HTML, Markdown or text files; the samples of this project when none are named")
  .option("--ask <question>", "a question to ask instead of the prepared ones; may be given again", repeatable)
  .option("--verbose", "show the log of the services", false)
  .addHelpText("after", "\nExits with 1 when a file fails, or an answer about the samples cannot be confirmed.")
  .action(async (files: string[], raw: unknown, command: Command) => {
    const options = parseOptions(optionsSchema, raw, command);
    process.exitCode = (await runDemo({ files: [...new Set(files)], ...options })) ? 0 : 1;
  })
  .parseAsync();

interface DemoOptions {
  files: string[];
  ask: string[];
  verbose: boolean;
}

async function runDemo(options: DemoOptions): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), "upload-pipeline-demo-"));
  const environment = loadLocalConfig({ ...OWN_DATABASE, DATA_DIR: directory });
  const log = createLogger({ level: options.verbose ? environment.LOG_LEVEL : "silent", service: "demo" });
  process.stdout.write("Starting database, storage, API and worker …\n");
  const starting = startStack({ environment, log, port: 0 });
  const clear = async (): Promise<void> => {
    const stack = await starting;
    await stack.stop();
  };
  const onSignal = (): void => {
    process.stdout.write("\nStopping …\n");
    void (async () => {
      await clear().catch(() => undefined);
      await rm(directory, { recursive: true, force: true });
      process.exit(130);
    })();
  };
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    const shown = await ingestAndAsk(await starting, options);
    await clear();
    return shown;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function ingestAndAsk(stack: LocalStack, options: DemoOptions): Promise<boolean> {
  const user_id = randomUUID();
  const client = createClient({ url: stack.url, token: await stack.signToken(user_id) });
  const paths = options.files.length > 0 ? options.files : SAMPLES.map((name) => join(SAMPLES_DIRECTORY, name));

  process.stdout.write(`Ingesting ${paths.length} file${paths.length === 1 ? "" : "s"} over ${stack.url}\n\n`);
  const lines = createProgressLines(paths, process.stdout);
  const files = await Promise.all(paths.map((path) => ingestFile(client, path, lines)));
  lines.close();

  const documentIds = files.flatMap((file) => (file.complete ? [file.document_id] : []));
  const context: AskContext = { client, database: stack.database, user_id, documentIds };
  const answers = documentIds.length === 0 ? [] : await answerQuestions(context, options);
  process.stdout.write(formatFailures(files));
  return summarise(files, answers, options);
}

async function answerQuestions(context: AskContext, options: DemoOptions): Promise<Answer[]> {
  if (options.files.length > 0 && options.ask.length === 0) return quoteDocuments(context);
  const answers: Answer[] = [];
  for (const question of await chooseQuestions(options)) {
    const answer = await ask(context, question);
    process.stdout.write(formatAnswer(answer));
    answers.push(answer);
  }
  return answers;
}

async function chooseQuestions(options: DemoOptions): Promise<Question[]> {
  if (options.ask.length > 0) return options.ask.map((text) => ({ text, expected: undefined }));
  return readSampleQuestions(SAMPLES_DIRECTORY);
}

/** Asks each document for sentences of its own, until two were found where they stand. */
async function quoteDocuments(context: AskContext): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const documentId of context.documentIds) {
    let shown = 0;
    for (const question of await questionsFromDocument(context, documentId)) {
      if (shown === LEAST_CONFIRMED) break;
      const answer = await ask(context, question);
      if (!answer.isConfirmed) continue;
      process.stdout.write(formatAnswer(answer));
      answers.push(answer);
      shown += 1;
    }
  }
  return answers;
}

/** Says in one line what was shown. True: all of it. */
function summarise(files: IngestedFile[], answers: Answer[], { ask: asked, files: named }: DemoOptions): boolean {
  const complete = files.filter((file) => file.complete).length;
  const isAsking = asked.length > 0;
  const good = answers.filter((answer) => (isAsking ? answer.passage !== undefined : answer.isConfirmed)).length;
  const verdict = isAsking
    ? `, ${good} of ${asked.length} questions answered`
    : `, ${good} of ${answers.length} answers confirmed on the cited page`;
  const isAsked = isAsking || complete > 0;
  process.stdout.write(`\n${complete} of ${files.length} files complete${isAsked ? verdict : ""}.\n`);
  const isShown = named.length > 0 || isAsking || good >= LEAST_CONFIRMED;
  return complete === files.length && isShown;
}
