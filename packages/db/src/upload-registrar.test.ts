import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import type { Database } from "./database.ts";
import { cancelJob } from "./cancel.ts";
import { deleteDocument } from "./delete-document.ts";
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

test("what was committed though its reply was lost is found when it is asked for again", async () => {
  const promises = promisesOf(randomUUID(), 3);
  const database: Database = {
    ...opened.database,
    many: async (...statement) => {
      await opened.database.many(...statement);
      throw new AppError({ kind: "transient", code: "database_unavailable", message: "The reply was lost." });
    },
  };
  expect(new Set(outcomesOf(await registerAll(promises, UNLIMITED, database)))).toEqual(
    new Set(["database_unavailable"]),
  );
  const again = promises.map((promise) => ({ ...promise, job_id: randomUUID() }));
  const settled = await registerAll(again);
  expect(outcomesOf(settled)).toEqual(["duplicate", "duplicate", "duplicate"]);
  for (const [index, each] of settled.entries()) {
    expect(each).toMatchObject({ value: { job: { job_id: promises[index]?.job_id } } });
  }
  expect(await readUploadUsage(opened.database, promises[0]?.user_id ?? "")).toMatchObject({ in_flight: 3, today: 3 });
});

test("a transaction whose clock is of the day before takes nothing from the new day's count", async () => {
  const user_id = randomUUID();
  await registerAll(promisesOf(user_id, 3));
  await opened.database.run("update upload_pipeline.upload_counts set day = day + 1 where user_id = $1", [user_id]);
  const settled = await registerAll(promisesOf(user_id, 2), { maxPerDay: 4, maxInFlight: 100 });
  expect(outcomesOf(settled)).toEqual(["made", "daily_upload_limit"]);
  await opened.database.run("update upload_pipeline.upload_counts set day = day - 1 where user_id = $1", [user_id]);
  expect(await readUploadUsage(opened.database, user_id)).toMatchObject({ today: 4 });
});

test("a document that was inserted by hand, with an id of its own, is found and not made again", async () => {
  const promise = uploadPromise();
  const document_id = randomUUID();
  await opened.database.run(
    `insert into upload_pipeline.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
     values ($1, $2, 'a.txt', 'text/plain', 12, $3, 'somewhere')`,
    [document_id, promise.user_id, promise.file_sha256],
  );
  expect(await registerAll([promise])).toMatchObject([{ value: { duplicate: false, job: { document_id } } }]);
  const again = [{ ...promise, job_id: randomUUID() }];
  expect(outcomesOf(await registerAll(again, { maxPerDay: 1, maxInFlight: 1 }))).toEqual(["duplicate"]);
});

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

/** Until `work` is done, somebody else has the count of the user's uploads locked. */
async function whileLocked(user_id: string, work: () => Promise<void>): Promise<void> {
  await registerAll(promisesOf(user_id, 1));
  await opened.openAnother().transaction(async (tx) => {
    await tx.run("select from upload_pipeline.upload_counts where user_id = $1 for no key update", [user_id]);
    await work();
  });
}

describe.skipIf(!hasParallelConnections())("beside others: needs several connections", () => {
  it("a user whose uploads are counted elsewhere waits, without a connection, and the others do not", async () => {
    const [locked, free] = [randomUUID(), randomUUID()];
    const { database, statements } = watched(opened.database);
    const registrar = createUploadRegistrar(database, UNLIMITED);
    let waiting: Promise<string[]> | undefined;
    await whileLocked(locked, async () => {
      const own = promisesOf(locked, 20).map((promise) => registrar.register(promise));
      waiting = Promise.allSettled(own).then(outcomesOf);
      const others = promisesOf(free, 3).map((promise) => registrar.register(promise));
      expect(outcomesOf(await Promise.allSettled(others))).toEqual(["made", "made", "made"]);
      // They were made by the first one; it waited for nobody.
      expect(statements).toHaveLength(1);
      expect(opened.database.connections()).toMatchObject({ in_use: 0, waiting: 0 });
    });
    expect(new Set(await waiting)).toEqual(new Set(["made"]));
  });

  it("a new user who is counted first by a transaction that stays open waits, and the others do not", async () => {
    const [blocked, free] = [randomUUID(), randomUUID()];
    let waiting: Promise<string[]> | undefined;
    await opened.openAnother().transaction(async (tx) => {
      await tx.run(
        `insert into upload_pipeline.upload_counts (user_id, day, day_count, active_at_most, active_since)
         values ($1, current_date, 0, 0, now())`,
        [blocked],
      );
      const registrar = createUploadRegistrar(opened.database, UNLIMITED);
      const own = promisesOf(blocked, 3).map((promise) => registrar.register(promise));
      waiting = Promise.allSettled(own).then(outcomesOf);
      const others = promisesOf(free, 3).map((promise) => registrar.register(promise));
      expect(outcomesOf(await Promise.allSettled(others))).toEqual(["made", "made", "made"]);
    });
    expect(await waiting).toEqual(["made", "made", "made"]);
  });

  it("whoever waits in vain is told to ask again, and left nothing", async () => {
    const user_id = randomUUID();
    await whileLocked(user_id, async () => {
      expect(outcomesOf(await registerAll(promisesOf(user_id, 2)))).toEqual(["database_conflict", "database_conflict"]);
    });
    expect(await readUploadUsage(opened.database, user_id)).toMatchObject({ in_flight: 1, today: 1 });
  });

  it("a statement that hangs keeps those that come later no longer than half a second", async () => {
    const hanging = Promise.withResolvers<never>();
    let calls = 0;
    const database: Database = {
      ...opened.database,
      many: async (...statement) => {
        calls += 1;
        if (calls === 1) await hanging.promise;
        return opened.database.many(...statement);
      },
    };
    const registrar = createUploadRegistrar(database, UNLIMITED);
    const hung = registrar.register(uploadPromise());
    await setImmediate();
    expect((await registrar.register(uploadPromise())).duplicate).toBe(false);
    hanging.reject(new AppError({ kind: "transient", code: "database_unavailable", message: "Hung." }));
    await expect(hung).rejects.toMatchObject({ code: "database_unavailable" });
    expect((await registrar.register(uploadPromise())).duplicate).toBe(false);
  });

  it("a file whose job has failed and whose document is being deleted is made anew behind the deletion", async () => {
    const promise = uploadPromise();
    await registerAll([promise]);
    await cancelJob(opened.database, promise);
    let waiting: Promise<string[]> | undefined;
    await opened.openAnother().transaction(async (tx) => {
      await deleteDocument(tx, promise);
      const settled = registerAll([{ ...promise, job_id: randomUUID() }]).then(outcomesOf);
      waiting = settled;
      // It waits with the document in sight that is going.
      await expect.poll(() => opened.database.connections().in_use, { interval: 5, timeout: 10_000 }).toBe(1);
    });
    expect(await waiting).toEqual(["made"]);
    expect(await getDocument(opened.database, promise)).toMatchObject({ state: "waiting" });
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
