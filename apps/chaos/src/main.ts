import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import { parseOptions } from "@pipeline/runtime";
import { z } from "zod";
import { type ChaosOptions, LONG, SHORT } from "./options.ts";
import { formatReport } from "./report.ts";
import { runChaos } from "./run-chaos.ts";

const whole = z.coerce.number().int().min(0);

const flagsSchema = z.object({
  short: z.boolean().default(false),
  url: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  seed: whole.default(() => Date.now() % 1_000_000),
  seconds: whole.max(3_600).optional(),
  documents: whole.max(100_000).optional(),
  kills: whole.max(2_000).optional(),
  spare: z.boolean().default(true),
  json: z.string().optional(),
  workerLog: z.string().optional(),
});

await new Command("chaos")
  .description("Real workers under load on a real Postgres, with faults, ending in proof.")
  .option("--short", "about a minute instead of ten")
  .option("--url <url>", "a Postgres server to make a database on; a container by default, which is restarted too")
  .option("--seed <number>", "repeats a plan; printed with each run")
  .option("--seconds <number>", "how long load and faults last")
  .option("--documents <number>", "most documents to send")
  .option("--kills <number>", "how many workers to kill")
  .option("--no-spare", "random faults also for workers that hold a job with two crashes")
  .option("--json <file>", "writes the report there, too")
  .option("--worker-log <file>", "writes what the workers log there")
  .addHelpText("after", "\nExits with 1 when a check fails.")
  .action(async (raw: unknown, command: Command) => {
    const options = parseOptions(flagsSchema, raw, command);
    process.exitCode = await run(options);
  })
  .parseAsync();

async function run(flags: z.infer<typeof flagsSchema>): Promise<number> {
  const interruption = new AbortController();
  // What was started must be ended, so that a second signal changes nothing.
  process.on("SIGINT", () => interruption.abort());
  process.on("SIGTERM", () => interruption.abort());
  const log = flags.workerLog === undefined ? undefined : createWriteStream(flags.workerLog);
  const report = await runChaos(optionsOf(flags), {
    signal: interruption.signal,
    say: (line) => void process.stderr.write(`${line}\n`),
    keepLog: (line) => void log?.write(`${line}\n`),
  });
  log?.end();
  process.stdout.write(formatReport(report));
  if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify(report, null, 2)}\n`);
  return report.ok ? 0 : 1;
}

function optionsOf(flags: z.infer<typeof flagsSchema>): ChaosOptions {
  const form = flags.short ? SHORT : LONG;
  const seconds = flags.seconds ?? form.seconds;
  return {
    ...form,
    url: flags.url,
    seed: flags.seed,
    seconds,
    latestSeconds: form.latestSeconds + seconds - form.seconds,
    documents: flags.documents ?? form.documents,
    counts: { ...form.counts, kill: flags.kills ?? form.counts.kill },
    sparesSuspects: flags.spare && form.sparesSuspects,
  };
}
