import { randomUUID } from "node:crypto";
import { createUpload } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { completeDocument, deadLetter } from "../testing/documents.ts";
import { openTestApi, problemOf, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const chunksPage = z.object({
  chunks: z.array(z.looseObject({ ordinal: z.number(), text: z.string() })),
  next_cursor: z.string().nullable(),
});
const contentPage = z.object({
  document_id: z.string(),
  pages: z.array(
    z.object({ page_number: z.number(), text: z.string(), is_continued: z.boolean(), is_cut: z.boolean() }),
  ),
  next_cursor: z.string().nullable(),
});

function complete(user_id: string, texts = ["One.", "Two.", "Three."]) {
  return completeDocument(api.database, {
    user_id,
    passages: texts.map((text) => ({ text, section_path: ["A", "B"] })),
  });
}

/** What a later job that is done as well leaves behind. */
async function swapGeneration(document_id: string): Promise<void> {
  const { schema } = api.database;
  await api.database.transaction(async (tx) => {
    await tx.run(`update ${schema}.documents set live_generation = 2 where document_id = $1`, [document_id]);
    await tx.run(`update ${schema}.document_chunks set generation = 2 where document_id = $1`, [document_id]);
    await tx.run(`update ${schema}.document_pages set generation = 2 where document_id = $1`, [document_id]);
  });
}

async function writePages(document_id: string, texts: readonly string[]): Promise<void> {
  const { schema } = api.database;
  await api.database.transaction(async (tx) => {
    await tx.run(`delete from ${schema}.document_pages where document_id = $1`, [document_id]);
    await tx.run(
      `insert into ${schema}.document_pages (document_id, generation, page_number, text)
       select $1, 1, nth, text from unnest($2::text[]) with ordinality as p (text, nth)`,
      [document_id, texts],
    );
  });
}

describe("GET /documents/:id/status", () => {
  it("shows the document with its newest job", async () => {
    const user = randomUUID();
    const { document_id, job_id } = await complete(user);
    const answer = await api.call({ path: `/documents/${document_id}/status`, user });
    expect(answer).toMatchObject({
      status: 200,
      body: {
        document_id,
        status: "complete",
        state: "done",
        last_error: null,
        is_searchable: true,
        chunk_count: 3,
        job: { job_id, progress: { percent: 100 } },
      },
    });
  });

  it("does not call a document searchable that another model embedded, nor do the others that show it", async () => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    const paths = [`/documents/${document_id}/status`, `/documents/${document_id}`, "/documents"];
    const ask = async () => {
      const bodies = [];
      for (const path of paths) bodies.push((await api.call({ path, user })).body);
      return bodies;
    };
    const seen = { is_searchable: true, chunk_count: 3 };
    expect(await ask()).toMatchObject([seen, seen, { documents: [seen] }]);
    await api.database.run(
      `update ${api.database.schema}.document_chunks set embed_model = 'other' where document_id = $1`,
      [document_id],
    );
    const unseen = { is_searchable: false, chunk_count: 3 };
    expect(await ask()).toMatchObject([unseen, unseen, { documents: [unseen] }]);
  });

  it("tells why a document failed", async () => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    await deadLetter(api.database, job);
    const answer = await api.call({ path: `/documents/${job.document_id}/status`, user });
    expect(answer.body).toMatchObject({
      state: "deadletter",
      is_searchable: false,
      chunk_count: 0,
      last_error: { code: "upload_mismatch" },
    });
  });
});

describe("GET /documents/:id/chunks", () => {
  it("lists the live passages in order, each once, and no vector", async () => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    const first = await api.call({ path: `/documents/${document_id}/chunks?limit=2`, user });
    const { chunks, next_cursor } = chunksPage.parse(first.body);
    expect(chunks[0]).toEqual({
      chunk_id: expect.any(String),
      ordinal: 0,
      text: "One.",
      token_count: 10,
      page_start: 1,
      page_end: 1,
      char_start: 0,
      char_end: 4,
      section: "A > B",
      chunker_name: "test",
      chunker_version: "1",
      embed_model: expect.any(String),
      embed_version: expect.any(String),
    });
    const path = `/documents/${document_id}/chunks?limit=2&cursor=${next_cursor ?? ""}`;
    const second = chunksPage.parse((await api.call({ path, user })).body);
    expect([...chunks, ...second.chunks].map(({ text }) => text)).toEqual(["One.", "Two.", "Three."]);
    expect(second.next_cursor).toBeNull();
    await swapGeneration(document_id);
    expect(await api.call({ path, user })).toMatchObject({ status: 409, body: { code: "document_changed" } });
  });
});

describe("GET /documents/:id/content", () => {
  it("answers pages, those that were asked for", async () => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    await writePages(document_id, ["first", "", "third", "fourth"]);
    const path = `/documents/${document_id}/content`;
    const all = contentPage.parse((await api.call({ path, user })).body);
    expect(all.pages.map(({ page_number, text }) => `${page_number} ${text}`)).toEqual([
      "1 first",
      "2 ",
      "3 third",
      "4 fourth",
    ]);
    expect(all.next_cursor).toBeNull();
    const some = contentPage.parse((await api.call({ path: `${path}?page_start=2&page_end=3&limit=1`, user })).body);
    expect(some.pages.map(({ page_number }) => page_number)).toEqual([2]);
    const rest = contentPage.parse((await api.call({ path: `${path}?cursor=${some.next_cursor ?? ""}`, user })).body);
    expect(rest).toEqual({ document_id, pages: [page(3, "third")], next_cursor: null });
    const behind = await api.call({ path: `${path}?page_start=9`, user });
    expect(behind.body).toEqual({ document_id, pages: [], next_cursor: null });
  });

  it("cuts a page that is too long for one answer, between characters, and loses none", async () => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    const long = "😀ü".repeat(130_000);
    await writePages(document_id, ["short", long, "end"]);
    const texts: string[] = [];
    let query = "";
    let answers = 0;
    for (;;) {
      const answer = await api.call({ path: `/documents/${document_id}/content${query}`, user });
      const { pages, next_cursor } = contentPage.parse(answer.body);
      answers += 1;
      for (const { page_number, text } of pages) texts[page_number - 1] = `${texts[page_number - 1] ?? ""}${text}`;
      if (next_cursor === null) break;
      expect(pages.at(-1)?.is_cut).toBe(true);
      query = `?cursor=${next_cursor}`;
    }
    expect(answers).toBe(2);
    expect(texts.map((text) => text.length)).toEqual([5, long.length, 3]);
    expect(texts[1] === long).toBe(true);
  });

  it.each(["page_start=0", "page_start=3&page_end=2", "limit=101", "page=1"])("refuses ?%s", async (query) => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    const answer = await api.call({ path: `/documents/${document_id}/content?${query}`, user });
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
  });

  it("begins again when the document was processed anew", async () => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    await writePages(document_id, ["a", "b"]);
    const path = `/documents/${document_id}/content?limit=1`;
    const { next_cursor } = contentPage.parse((await api.call({ path, user })).body);
    await swapGeneration(document_id);
    const answer = await api.call({ path: `${path}&cursor=${next_cursor ?? ""}`, user });
    expect(answer).toMatchObject({ status: 409, body: { code: "document_changed" } });
  });
});

function page(page_number: number, text: string) {
  return { page_number, text, is_continued: false, is_cut: false };
}

describe("chunks and content", () => {
  it.each(["chunks", "content"])("are not there yet before a job is complete: %s", async (what) => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    const answer = await api.call({ path: `/documents/${job.document_id}/${what}`, user });
    expect(answer).toMatchObject({ status: 409, body: { code: "document_not_ready" } });
  });

  it.each(["chunks", "content"])("take no cursor but their own: %s", async (what) => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    for (const cursor of ["abc", Buffer.from("1.2.3").toString("base64url")]) {
      const answer = await api.call({ path: `/documents/${document_id}/${what}?cursor=${cursor}`, user });
      expect(answer).toMatchObject({ status: 422, body: { code: "invalid_cursor" } });
    }
  });

  it.each(["chunks", "content", "status", "download"])(
    "of somebody else's document cannot be told from none: %s",
    async (what) => {
      const { document_id } = await complete(randomUUID());
      const stranger = randomUUID();
      const answers = [];
      for (const id of [document_id, randomUUID(), "not-an-id"]) {
        answers.push(problemOf(await api.call({ path: `/documents/${id}/${what}`, user: stranger })));
      }
      expect(answers[0]).toMatchObject({ status: 404, code: "document_not_found" });
      expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    },
  );
});

describe("GET /documents with filters", () => {
  it("keeps those whose newest job is in a state, whose status or part of whose name is as asked", async () => {
    const user = randomUUID();
    const passages = [{ text: "One." }];
    const { document_id } = await completeDocument(api.database, {
      user_id: user,
      filename: "Police_50%.pdf",
      passages,
    });
    const { job } = await createUpload(api.database, { user_id: user });
    const idsFor = async (query: string) => {
      const { body } = await api.call({ path: `/documents?${query}`, user });
      return z
        .array(z.object({ document_id: z.string() }))
        .parse(body["documents"])
        .map((each) => each.document_id);
    };
    expect(await idsFor("state=done")).toEqual([document_id]);
    expect(await idsFor("status=uploaded")).toEqual([job.document_id]);
    expect(await idsFor("filename=police")).toEqual([document_id]);
    expect(await idsFor(`filename=${encodeURIComponent("_50%")}`)).toEqual([document_id]);
    expect(await idsFor(`filename=${encodeURIComponent("%")}`)).toEqual([document_id]);
    expect(await idsFor("filename=police&state=waiting")).toEqual([]);
  });
});
