import { z } from "zod";
import type { Generation } from "./generations.ts";
import { maybeOne, type Queryable } from "./queryable.ts";

const pageSourceRow = z.object({
  parser: z.string(),
  parser_version: z.string(),
  /** Of the provider's work, where it was a provider's. */
  submission_id: z.string().nullable(),
  /** Why this parser stood in for the configured one. */
  fallback_code: z.string().nullable(),
});
export type PageSource = z.infer<typeof pageSourceRow>;

/** Says which parser made the generation's pages. In the transaction that stores them. */
export async function storePageSource(tx: Queryable, generation: Generation, source: PageSource): Promise<void> {
  await tx.run(
    `insert into ${tx.schema}.page_sources
       (document_id, generation, parser, parser_version, submission_id, fallback_code)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (document_id, generation) do update
     set parser = excluded.parser, parser_version = excluded.parser_version, submission_id = excluded.submission_id,
         fallback_code = excluded.fallback_code, created_at = now()`,
    [
      generation.document_id,
      generation.generation,
      source.parser,
      source.parser_version,
      source.submission_id,
      source.fallback_code,
    ],
  );
}

/** Undefined where the pages were parsed before this was kept. */
export function findPageSource(db: Queryable, generation: Generation): Promise<PageSource | undefined> {
  return maybeOne(
    db,
    pageSourceRow,
    `select parser, parser_version, submission_id, fallback_code from ${db.schema}.page_sources
     where document_id = $1 and generation = $2`,
    [generation.document_id, generation.generation],
  );
}
