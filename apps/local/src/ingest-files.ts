import { Command, Option } from "commander";
import { parseOptions } from "@pipeline/runtime";
import { z } from "zod";
import { createClient } from "./client.ts";
import { ingestFile } from "./ingest.ts";
import { createProgressLines } from "./progress-lines.ts";
import { questionSchema } from "./questions.ts";
import { repeatable } from "./repeatable.ts";
import { formatAnswer, formatFailures } from "./report.ts";

const optionsSchema = z.object({
  url: z
    .url({ protocol: /^https?$/ })
    // As people have it in their notes: with a slash behind, or with the prefix of the calls.
    .transform((url) => url.replace(/\/+$/, "").replace(/\/api\/upload-pipeline$/, ""))
    .optional(),
  port: z.coerce.number().int().min(1).max(65_535),
  token: z.string().min(1),
  ask: z.array(questionSchema).default([]),
});

await new Command("ingest")
  .description("Uploads files to a running API, watches them become searchable, and asks questions about them.")
  .argument("<files...>", "PDF, DOCX, HTML, Markdown or text files")
  .option("--url <url>", "where the API is, if not on this machine")
  .addOption(new Option("--port <port>", "its port on this machine").env("SERVICE_PORT").default("8000"))
  .requiredOption("--token <token>", "whose documents they become; see `npx -y pnpm@12 dev-token`")
  .option("--ask <question>", "a question to ask about them; may be given again", repeatable)
  .addHelpText("after", "\nExits with 1 when a file fails.")
  .action(async (paths: string[], raw: unknown, command: Command) => {
    process.exitCode = (await ingestFiles([...new Set(paths)], parseOptions(optionsSchema, raw, command))) ? 0 : 1;
  })
  .parseAsync();

async function ingestFiles(paths: string[], options: z.infer<typeof optionsSchema>): Promise<boolean> {
  const client = createClient({ ...options, url: options.url ?? `http://127.0.0.1:${options.port}` });
  const lines = createProgressLines(paths, process.stdout);
  const files = await Promise.all(paths.map((path) => ingestFile(client, path, lines)));
  const documentIds = files.flatMap((file) => (file.complete ? [file.document_id] : []));
  for (const text of documentIds.length > 0 ? options.ask : []) {
    const [passage] = await client.search(text, documentIds);
    process.stdout.write(formatAnswer({ question: { text, expected: undefined }, passage, isConfirmed: false }));
  }
  process.stdout.write(formatFailures(files));
  return files.every((file) => file.complete);
}
