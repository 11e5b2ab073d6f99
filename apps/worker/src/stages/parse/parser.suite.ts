import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { findPageSource, listPages, type RegisteredUpload } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerBench } from "../../worker.fixture.ts";

/** A parser at work in a worker. */
export interface ParserHarness {
  bench: Pick<WorkerBench, "database" | "submit">;
  /** Carries the job to its end, however often it has to wait. */
  finish(jobId: string): Promise<void>;
  close(): Promise<void>;
}

export interface ParserContract {
  /** As pages and events name it. */
  parser: string | RegExp;
  open(): Promise<ParserHarness>;
}

const SAMPLES = join(import.meta.dirname, "../../../../../samples");

/** Words that stand in the document, whatever becomes of its layout. */
const DOCUMENTS = [
  { filename: "benefits-booklet.pdf", mime: "application/pdf", words: ["benefit", "premium"], is_long: true },
  {
    filename: "home-policy.docx",
    mime: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    words: ["policy", "deductible"],
    is_long: false,
  },
  { filename: "claims-guide.html", mime: "text/html", words: ["claim", "deadline"], is_long: false },
  { filename: "renewal-letter.md", mime: "text/markdown", words: ["renewal", "premium"], is_long: false },
] as const;

/** What every parser promises, on this machine or at a provider. */
export function describeParser(name: string, contract: ParserContract): void {
  describe(`${name} as a parser`, () => {
    let harness: ParserHarness;
    beforeAll(async () => {
      harness = await contract.open();
    });
    afterAll(() => harness.close());

    const parse = async (content: string | Buffer, file: { filename: string; mime: string }) => {
      const upload = await harness.bench.submit(content, file);
      await harness.finish(upload.job.job_id);
      return upload;
    };
    const pagesOf = ({ job }: RegisteredUpload) => listPages(harness.bench.database, { ...job, generation: 1 });

    it.each(DOCUMENTS)("reads $filename into pages without gaps, and is named beside them", async (document) => {
      const { filename, mime, words, is_long } = document;
      const upload = await parse(await readFile(join(SAMPLES, filename)), { filename, mime });
      const pages = await pagesOf(upload);
      expect(await readJob(harness.bench.database, upload.job.job_id)).toMatchObject({
        state: "done",
        progress: { pages_done: pages.length, pages_total: pages.length },
      });
      expect(pages.map(({ page_number }) => page_number)).toEqual(pages.map((_, index) => index + 1));
      expect(pages.length).toBeGreaterThan(is_long ? 1 : 0);
      const text = pages.map((page) => page.text.toLowerCase()).join("\n");
      for (const word of words) expect(text).toContain(word);
      const source = await findPageSource(harness.bench.database, { ...upload.job, generation: 1 });
      expect(source).toMatchObject({ parser: expect.stringMatching(contract.parser), fallback_code: null });
    });

    it("says what is wrong with a file that is broken, and stores none of its pages", async () => {
      const upload = await parse("%PDF-1.7\nthis is no more than a beginning", {
        filename: "a.pdf",
        mime: "application/pdf",
      });
      expect(await readJob(harness.bench.database, upload.job.job_id)).toMatchObject({
        state: "deadletter",
        status: "parsing",
        last_error: { stage: "parse", code: expect.stringMatching(/^(damaged_file|no_text)$/u), retryable: false },
      });
      expect(await pagesOf(upload)).toEqual([]);
    });
  });
}
