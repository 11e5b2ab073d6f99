import type { ParseOrder, ResultPage } from "./job.ts";

/** How long the same file with the same parameters is free. */
const KEPT_MS = 48 * 3_600_000;

/** The pages of finished jobs, by file and by whatever has a say in the output. */
export interface ResultCache {
  find(fileSha256: string, order: ParseOrder): ResultPage[] | undefined;
  keep(pages: ResultPage[], finished: { fileSha256: string; order: ParseOrder }): void;
}

export function createResultCache(now: () => number): ResultCache {
  const kept = new Map<string, { pages: ResultPage[]; until: number }>();
  return {
    find(fileSha256, order) {
      if (order.cache !== "use") return undefined;
      const entry = kept.get(keyOf(fileSha256, order));
      return entry !== undefined && now() < entry.until ? entry.pages : undefined;
    },
    keep(pages, { fileSha256, order }) {
      if (order.cache === "avoid") return;
      kept.set(keyOf(fileSha256, order), { pages, until: now() + KEPT_MS });
    },
  };
}

const WITHOUT_EFFECT = new Set([
  "webhook_url",
  "webhook_configurations",
  "do_not_cache",
  "invalidate_cache",
  "disable_cache",
  "user_metadata",
  "file_id",
  "client_name",
]);

function keyOf(fileSha256: string, { parameters }: ParseOrder): string {
  const telling = Object.entries(parameters).filter(([name]) => !WITHOUT_EFFECT.has(name));
  return JSON.stringify([fileSha256, telling.toSorted(([left], [right]) => (left < right ? -1 : 1))]);
}
