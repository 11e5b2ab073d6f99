import { writeFile } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import { runApiBench } from "./api/run-api-bench.ts";
import { type BenchServer, startBenchServer } from "./postgres/bench-server.ts";
import { describeMachineInWords, type Machine } from "./report/machine.ts";
import { chooseScope, runQueueBench, SCENARIO_NAMES } from "./queue/run-queue-bench.ts";
import { runScaleBench } from "./scale/run-scale-bench.ts";
import { runSearchBench } from "./search/search-bench.ts";
import { SYSTEM_NAMES } from "./systems/index.ts";

interface CommonOptions {
  json?: string;
  runs: number;
  quick: boolean;
  url?: string;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

const program = new Command("bench").description(
  "Measures on a Postgres in a container, or on one whose URL is given.",
);

withCommonOptions("queue")
  .description("Compares the queue with graphile-worker, pg-boss and DBOS, and measures claims, recovery and fairness.")
  .option("--docs <count>", "documents of a nine-stage drain", parseCount, 10_000)
  .option(
    "--only <names>",
    `of ${[...SCENARIO_NAMES, ...SYSTEM_NAMES].join(", ")}; separated by commas`,
    parseNames,
    [],
  )
  .action(async (options: CommonOptions & { docs: number; only: string[] }) => {
    const { quick: isQuick, runs, docs } = options;
    const scope = chooseScope(options.only);
    const size = isQuick ? { runs: 1, docs: 200 } : { runs, docs };
    await measure(options, (server) => runQueueBench(server, { ...scope, ...size, isQuick, print }));
  });

withCommonOptions("search")
  .description("Measures searches over all chunks of one user.")
  .option("--chunks <count>", "chunks of the user", parseCount, 20_000)
  .action(async (options: CommonOptions & { chunks: number }) => {
    const { quick: isQuick, runs, chunks } = options;
    const size = isQuick ? { runs: 1, chunks: 200 } : { runs, chunks };
    await measure(options, (server) => runSearchBench(server, { ...size, print }));
  });

withCommonOptions("scale")
  .description("Measures what a real document costs, and how many a second 1, 2, 4 and 8 worker processes take.")
  .option("--documents <count>", "documents of a run", parseCount, 80)
  .option("--workers <counts>", "numbers of worker processes, separated by commas", parseCounts, [1, 2, 4, 8])
  .action(async (options: CommonOptions & { documents: number; workers: number[] }) => {
    const { quick: isQuick, runs, documents, workers } = options;
    const size = isQuick ? { runs: 1, documents: 4, workers: [1, 2] } : { runs, documents, workers };
    await measure(options, (server) => runScaleBench(server, { ...size, print }));
  });

withCommonOptions("api")
  .description("Compares POST /upload and GET /jobs/:id with a bare server on the same pool, and loads the API evenly.")
  .option("--seconds <count>", "of each run", parseCount, 10)
  .option("--minutes <count>", "watch the API's memory under an even load for so long", parseCount)
  .action(async (options: CommonOptions & { seconds: number; minutes?: number }) => {
    const { quick: isQuick, runs, seconds, minutes = 0 } = options;
    const size = isQuick ? { runs: 1, seconds: 3, minutes: 0 } : { runs, seconds, minutes };
    await measure(options, (server) => runApiBench(server, { ...size, print }));
  });

await program.parseAsync();

function withCommonOptions(name: string): Command {
  return program
    .command(name)
    .option("--json <file>", "write every run as JSON")
    .option("--runs <count>", "interleaved runs of each case", parseCount, 5)
    .option("--quick", "one small run of everything, to see that it works; its figures mean nothing", false)
    .option("--url <url>", "a Postgres server on which databases may be created; default: a container");
}

async function measure(
  options: CommonOptions,
  run: (server: BenchServer) => Promise<{ machine: Machine }>,
): Promise<void> {
  const server = await startBenchServer(options.url);
  const onInterrupt = (): void => void server.stop().finally(() => process.exit(130));
  process.once("SIGINT", onInterrupt);
  try {
    const report = await run(server);
    print(describeMachineInWords(report.machine));
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  } finally {
    process.off("SIGINT", onInterrupt);
    await server.stop();
  }
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError("It is not a whole number above 0.");
  return count;
}

function parseCounts(text: string): number[] {
  return text.split(",").map(parseCount);
}

function parseNames(text: string): string[] {
  return text.split(",").map((name) => name.trim());
}
