import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import type { Database } from "./database.ts";
import { getDocument } from "./documents.ts";
import {
  createQueuedJob,
  hasParallelConnections,
  openTestDatabase,
  readHistory,
  readJob,
  uploadPromise,
  type TestDatabase,
} from "./testing/index.ts";
import { readUploadUsage, UNLIMITED } from "./upload-counts.ts";
import { createUploadRegistrar } from "./upload-registrar.ts";
import type { RegisteredUpload, UploadPromise } from "./uploads.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

/** The same database; every statement outside transactions is noted. */
function watched(database: Database): { database: Database; statements: string[] } {
  const statements: string[] = [];
  return {
    statements,
    database: {
      ...database,
      many: (row, sql, ...rest) => {
        statements.push(sql);
        return database.many(row, sql, ...rest);
      },
    },
  };
}

function registerAll(promises: readonly UploadPromise[], allowance = UNLIMITED, database = opened.database) {
  const registrar = createUploadRegistrar(database, allowance);
  return Promise.allSettled(promises.map((promise) => registrar.register(promise)));
}

function outcomesOf(settled: readonly PromiseSettledResult<RegisteredUpload>[]): string[] {
  return settled.map((each) => {
    if (each.status === "fulfilled") return each.value.duplicate ? "duplicate" : "made";
    return each.reason instanceof Error && "code" in each.reason ? String(each.reason.code) : String(each.reason);
  });
}

const promisesOf = (user_id: string, count: number, overrides: Partial<UploadPromise> = {}): UploadPromise[] =>
  Array.from({ length: count }, () => uploadPromise({ user_id, ...overrides }));

test("uploads that come in together are one statement, and each has its own document, job and event", async () => {
  const promises = [randomUUID(), randomUUID()].flatMap((user_id) =>
    Array.from({ length: 30 }, (_none, index) =>
      uploadPromise({ user_id, filename: `${index}.txt`, metadata: { index }, bytes_len: index + 1 }),
    ),
  );
  const { database, statements } = watched(opened.database);
  const settled = await registerAll(promises, UNLIMITED, database);
  expect(statements).toEqual([expect.stringContaining("make_uploads")]);
  for (const [index, promise] of promises.entries()) {
    const { document_id, job_id, user_id, filename, metadata, bytes_len, raw_path, correlation_id } = promise;
    const job = { job_id, document_id, user_id, correlation_id, state: "waiting", status: "uploaded" };
    const document = { document_id, user_id, filename, bytes_len, raw_path };
    expect(settled[index]).toMatchObject({ value: { document, job, duplicate: false, replaced_path: null } });
    expect(await getDocument(opened.database, promise)).toMatchObject({ ...document, metadata, job_id });
    expect(await readJob(opened.database, job_id)).toMatchObject({ ...job, generation: 1, waiting_for: "upload" });
    expect(await readHistory(opened.database, job_id)).toEqual(["created:uploaded"]);
  }
});

test("each user's limit holds within a statement, and one's refusals are nobody else's", async () => {
  const [full, other] = [randomUUID(), randomUUID()];
  const promises = [...promisesOf(full, 5), ...promisesOf(other, 2), ...promisesOf(full, 2)];
  const made = ["made", "made", "made"];
  const inFlight = await registerAll(promises, { maxPerDay: 100, maxInFlight: 3 });
  const refused = Array.from({ length: 4 }, () => "uploads_in_flight_limit");
  expect(outcomesOf(inFlight)).toEqual([...made, ...refused.slice(0, 2), "made", "made", ...refused.slice(2)]);
  const perDay = await registerAll(promisesOf(other, 3), { maxPerDay: 3, maxInFlight: 100 });
  expect(outcomesOf(perDay)).toEqual(["made", "daily_upload_limit", "daily_upload_limit"]);
  for (const user_id of [full, other]) {
    expect(await readUploadUsage(opened.database, user_id)).toMatchObject({ in_flight: 3, today: 3 });
  }
});

test("the same file many times at once is one document and one job, beside others", async () => {
  const promise = uploadPromise();
  const again = Array.from({ length: 8 }, () => ({ ...promise, job_id: randomUUID() }));
  const settled = await registerAll([promise, ...again, uploadPromise({ user_id: promise.user_id })]);
  expect(outcomesOf(settled)).toEqual(["made", ...again.map(() => "duplicate"), "made"]);
  for (const each of settled.slice(0, -1)) expect(each).toMatchObject({ value: { job: { job_id: promise.job_id } } });
  expect(await readUploadUsage(opened.database, promise.user_id)).toMatchObject({ today: 2 });
});

test("what has a job already is not refused, nor does it count", async () => {
  const promise = uploadPromise();
  await createQueuedJob(opened.database, promise);
  const settled = await registerAll(
    [{ ...promise, job_id: randomUUID() }, uploadPromise({ user_id: promise.user_id })],
    {
      maxPerDay: 1,
      maxInFlight: 1,
    },
  );
  expect(outcomesOf(settled)).toEqual(["duplicate", "daily_upload_limit"]);
});

test("a promise that the database refuses fails alone", async () => {
  const settled = await registerAll([uploadPromise(), uploadPromise({ bytes_len: -1 }), uploadPromise()]);
  expect(outcomesOf(settled)).toEqual(["made", "database_error", "made"]);
});

test("a document that was inserted by hand, without a job, is found and not made again", async () => {
  const promise = uploadPromise();
  await opened.database.run(
    `insert into upload_pipeline.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
     values ($1, $2, 'a.txt', 'text/plain', 12, $3, 'somewhere')`,
    [promise.document_id, promise.user_id, promise.file_sha256],
  );
  expect(outcomesOf(await registerAll([promise]))).toEqual(["made"]);
  expect(await readJob(opened.database, promise.job_id)).toMatchObject({ state: "waiting", generation: 1 });
});

/** Until `work` is done, somebody else has the count of the user's uploads locked. */
async function whileLocked(user_id: string, work: () => Promise<void>): Promise<void> {
  await registerAll(promisesOf(user_id, 1));
  await opened.openAnother().transaction(async (tx) => {
    await tx.run("select from upload_pipeline.upload_counts where user_id = $1 for no key update", [user_id]);
    await work();
  });
}

test("while the database does not answer, uploads beyond those that may wait are turned away at once", async () => {
  const answering = Promise.withResolvers<void>();
  const database: Database = {
    ...opened.database,
    many: async (...statement) => {
      await answering.promise;
      return opened.database.many(...statement);
    },
  };
  const user_id = randomUUID();
  const registrar = createUploadRegistrar(database, UNLIMITED);
  const first = registrar.register(uploadPromise({ user_id }));
  await setImmediate();
  const later = promisesOf(user_id, 310).map((promise) => registrar.register(promise));
  const turnedAway = await Promise.allSettled(later.slice(300));
  expect(new Set(outcomesOf(turnedAway))).toEqual(new Set(["database_busy"]));
  answering.resolve();
  expect(new Set(outcomesOf(await Promise.allSettled([first, ...later.slice(0, 300)])))).toEqual(new Set(["made"]));
});

describe.skipIf(!hasParallelConnections())("beside others: needs several connections", () => {
  it("a user whose uploads are counted elsewhere waits, and the others do not", async () => {
    const [locked, free] = [randomUUID(), randomUUID()];
    let waiting: Promise<string[]> | undefined;
    await whileLocked(locked, async () => {
      const registrar = createUploadRegistrar(opened.database, UNLIMITED);
      const [own, ...others] = [...promisesOf(locked, 1), ...promisesOf(free, 3)].map((promise) =>
        registrar.register(promise),
      );
      expect(outcomesOf(await Promise.allSettled(others))).toEqual(["made", "made", "made"]);
      waiting = Promise.allSettled(own === undefined ? [] : [own]).then(outcomesOf);
    });
    expect(await waiting).toEqual(["made"]);
  });

  it("whoever waits in vain is told to ask again, and left nothing", async () => {
    const user_id = randomUUID();
    await whileLocked(user_id, async () => {
      expect(outcomesOf(await registerAll(promisesOf(user_id, 2)))).toEqual(["database_conflict", "database_conflict"]);
    });
    expect(await readUploadUsage(opened.database, user_id)).toMatchObject({ in_flight: 1, today: 1 });
  });

  it("several processes together let exactly as many through as the limit has", async () => {
    const users = Array.from({ length: 5 }, () => randomUUID());
    const databases = [opened.database, opened.openAnother(), opened.openAnother()];
    const settled = await Promise.all(
      databases.map((database) => {
        const promises = Array.from({ length: 12 }, () => users.map((user_id) => uploadPromise({ user_id }))).flat();
        return registerAll(promises, { maxPerDay: 100, maxInFlight: 7 }, database);
      }),
    );
    const outcomes = outcomesOf(settled.flat());
    expect(outcomes.filter((outcome) => outcome === "made")).toHaveLength(35);
    expect(outcomes.filter((outcome) => outcome === "uploads_in_flight_limit")).toHaveLength(180 - 35);
    for (const user_id of users) {
      expect(await readUploadUsage(opened.database, user_id)).toMatchObject({ in_flight: 7, today: 7 });
    }
  });
});
