import { createHash } from "node:crypto";
import { type Database, migrate, searchChunks } from "@pipeline/db";
import { z } from "zod";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { describeMachine, loadNow, type Machine } from "../report/machine.ts";
import { percentile } from "../report/statistics.ts";
import { formatSpread, formatTable } from "../report/table.ts";

export interface SearchRun {
  question: "words match" | "no word matches";
  run: number;
  chunks: number;
  p50_ms: number;
  p95_ms: number;
}

export interface SearchBenchReport {
  started_at: string;
  machine: Machine;
  search: SearchRun[];
}

const USER_ID = "00000000-0000-4000-8000-000000000001";
const MODEL = "bench-model";
const CHUNKS_PER_DOCUMENT = 200;
const SEARCHES_PER_RUN = 20;

/** Milliseconds per search over all chunks of one user. */
export async function runSearchBench(
  server: BenchServer,
  plan: { runs: number; chunks: number; print: (text: string) => void },
): Promise<SearchBenchReport> {
  const started_at = new Date().toISOString();
  const loadBefore = loadNow();
  const url = await server.createDatabase();
  const database = openBenchDatabase(url, { poolSize: 1 });
  try {
    await migrate(database);
    await insertChunks(database, plan.chunks);
    await database.run("vacuum analyze");
    const search: SearchRun[] = [];
    for (let run = 0; run <= plan.runs; run += 1) {
      for (const question of ["words match", "no word matches"] as const) {
        const measured = await measureSearches(database, { question, run, chunks: plan.chunks });
        // Run 0 warms the caches.
        if (run > 0) search.push(measured);
      }
    }
    plan.print(formatSearch(search));
    return { started_at, machine: describeMachine({ postgres: server.version, loadBefore }), search };
  } finally {
    await database.close();
    await server.dropDatabase(url);
  }
}

/** Random vectors, and texts of a hundred words out of a thousand, so that a question's words are in many of them. */
async function insertChunks(database: Database, chunks: number): Promise<void> {
  for (let document = 0; document * CHUNKS_PER_DOCUMENT < chunks; document += 1) {
    const [row] = await database.many(
      z.object({ document_id: z.string() }),
      `insert into ${database.schema}.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path,
         processing_status, live_generation, generation_count)
       values (gen_random_uuid(), $1, 'letter.txt', 'text/plain', 12, $2, 'somewhere', 'complete', 1, 1)
       returning document_id`,
      [USER_ID, createHash("sha256").update(String(document)).digest("hex")],
    );
    await database.run(
      `insert into ${database.schema}.document_chunks (chunk_id, document_id, user_id, generation, ordinal, text,
         token_count, page_start, page_end, char_start, char_end, chunker_name, chunker_version, embedding, embed_model,
         embed_version, embedded_at)
       select gen_random_uuid(), $1, $2, 1, i,
         (select string_agg('word' || floor(random() * 1000)::int, ' ') from generate_series(1, 100) where i >= 0),
         100, 1, 1, i, i + 1, 'bench', '1',
         (select array_agg(random() - 0.5) from generate_series(1, 1536) where i >= 0)::vector, $3, '1', now()
       from generate_series(1, $4::int) i`,
      [row?.document_id ?? "", USER_ID, MODEL, Math.min(CHUNKS_PER_DOCUMENT, chunks - document * CHUNKS_PER_DOCUMENT)],
    );
  }
}

async function measureSearches(
  database: Database,
  { question, run, chunks }: Pick<SearchRun, "question" | "run" | "chunks">,
): Promise<SearchRun> {
  const times: number[] = [];
  for (let index = 0; index < SEARCHES_PER_RUN; index += 1) {
    const startedAt = performance.now();
    await searchChunks(database, {
      user_id: USER_ID,
      text: question === "words match" ? `word${index} word${index + 100} word${index + 200}` : "nothing of the kind",
      vector: Array.from({ length: 1_536 }, () => Math.random() - 0.5),
      model: MODEL,
      // Random vectors are nearly at right angles to each other: half of them pass.
      threshold: 0,
      limit: 10,
      documentIds: undefined,
      metadata: undefined,
    });
    times.push(performance.now() - startedAt);
  }
  return { question, run, chunks, p50_ms: percentile(times, 50), p95_ms: percentile(times, 95) };
}

function formatSearch(runs: readonly SearchRun[]): string {
  const rows = [...Map.groupBy(runs, (run) => run.question)].map(([question, own]) => [
    question,
    formatSpread(own.map((run) => run.chunks)),
    formatSpread(own.map((run) => run.p50_ms)),
    formatSpread(own.map((run) => run.p95_ms)),
  ]);
  return formatTable("Search over the chunks of one user", [["question", "chunks", "p50 ms", "p95 ms"], ...rows]);
}
