import { hasParallelConnections, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SHORT } from "./options.ts";
import { formatReport } from "./report.ts";
import { runChaos } from "./run-chaos.ts";

describe.skipIf(!hasParallelConnections())("the short form of chaos: needs a server", () => {
  let bench: TestDatabase;
  beforeAll(async () => {
    bench = await openTestDatabase();
  });
  afterAll(() => bench.close());

  test(
    "killed, frozen, cut off and stopped workers lose nothing and do nothing twice",
    async () => {
      const seed = Date.now() % 1_000_000;
      const report = await runChaos(
        { ...SHORT, url: bench.url, seed },
        { signal: AbortSignal.timeout(MOST_MS), say: () => undefined, keepLog: () => undefined },
      );
      const broken = report.checks.filter(({ check, total, severity }) => {
        return total > 0 && severity === "error" && !NOT_JUDGED.has(check);
      });
      // The report names the seed and whatever offends.
      expect(broken, formatReport(report)).toEqual([]);
      expect(report.interrupted).toBe(false);
      expect(report.crashes.innocent_dead_letters_alone).toBe(0);
      expect(report.takeovers.kill.jobs).toBeGreaterThan(0);
      expect(report.stale_writes.tried).toBeGreaterThan(0);
    },
    MOST_MS + 60_000,
  );
});

/** A quiet machine takes a minute and a half. */
const MOST_MS = 360_000;

/**
 * Times, which a busy machine prolongs; and documents that three dying workers happened to hold, which every few seconds one
 * does here. The command judges them.
 */
const NOT_JUDGED = new Set(["rescue", "takeover", "innocent"]);
