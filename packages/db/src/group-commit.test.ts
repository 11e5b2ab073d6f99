import { AppError } from "@pipeline/runtime";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createGroupCommit, type GroupCommitOptions } from "./group-commit.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => vi.useRealTimers());

interface Sent {
  items: readonly string[];
  succeed: () => void;
  fail: (code: string) => void;
}

/** Items are their keys, with whatever stands behind a dot apart. Statements end when the test lets them. */
function open(options: Partial<GroupCommitOptions<string, string>> = {}) {
  const sent: Sent[] = [];
  const add = createGroupCommit<string, string>({
    commit: (items) => {
      const answer = Promise.withResolvers<string[]>();
      const fail = (code: string): void => answer.reject(new AppError({ kind: "transient", code, message: "No." }));
      sent.push({ items, succeed: () => answer.resolve(items.map((item) => item.toUpperCase())), fail });
      return answer.promise;
    },
    keyOf: (item) => item.split(".")[0] ?? item,
    isOfSome: (error) => error instanceof AppError && error.code === "one",
    largest: 100,
    ...options,
  });
  const untilSent = (count: number): Promise<void> => vi.waitFor(() => expect(sent).toHaveLength(count));
  return { add, sent, untilSent, items: () => sent.map((statement) => statement.items) };
}

async function idle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

it("what gathers while a statement is under way is the next one", async () => {
  const { add, sent, untilSent, items } = open();
  const first = [add("a"), add("b")];
  await untilSent(1);
  const second = [add("c"), add("d")];
  await idle();
  expect(items()).toEqual([["a", "b"]]);
  sent[0]?.succeed();
  await untilSent(2);
  expect(await Promise.all(first)).toEqual(["A", "B"]);
  sent[1]?.succeed();
  expect(await Promise.all(second)).toEqual(["C", "D"]);
});

it("a second statement goes out from so many waiting items on, never with a key of the first", async () => {
  const { add, sent, untilSent, items } = open({ secondFrom: 3 });
  void add("a");
  await untilSent(1);
  void add("a.2");
  void add("b");
  await idle();
  expect(items()).toHaveLength(1);
  void add("c");
  await untilSent(2);
  expect(items()[1]).toEqual(["b", "c"]);
  sent[1]?.succeed();
  await idle();
  expect(items()).toHaveLength(2);
  sent[0]?.succeed();
  await untilSent(3);
  expect(items()[2]).toEqual(["a.2"]);
});

it("a statement that hangs does not keep the others; what has its key waits for its end", async () => {
  const { add, sent, untilSent, items } = open();
  const hung = add("a");
  await untilSent(1);
  const behind = add("a.2");
  const other = add("b");
  await vi.advanceTimersByTimeAsync(200);
  await idle();
  expect(items()).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(500);
  await untilSent(2);
  expect(items()[1]).toEqual(["b"]);
  sent[1]?.succeed();
  expect(await other).toBe("B");
  await idle();
  expect(items()).toHaveLength(2);
  sent[0]?.fail("gone");
  await expect(hung).rejects.toMatchObject({ code: "gone" });
  await untilSent(3);
  sent[2]?.succeed();
  expect(await behind).toBe("A.2");
});

it("four statements may hang; what comes then waits for the end of one", async () => {
  const { add, sent, untilSent, items } = open();
  for (const [index, item] of ["a", "b", "c", "d"].entries()) {
    void add(item);
    await untilSent(index + 1);
    await vi.advanceTimersByTimeAsync(500);
  }
  const last = add("e");
  await vi.advanceTimersByTimeAsync(5_000);
  await idle();
  expect(items()).toHaveLength(4);
  sent[2]?.succeed();
  await untilSent(5);
  sent[4]?.succeed();
  expect(await last).toBe("E");
});

it("one that is refused is found by halves, and fails alone", async () => {
  const { add, sent, untilSent } = open();
  const names = ["a", "b", "c", "d", "bad", "f", "g", "h"];
  const results = Promise.allSettled(names.map((name) => add(name)));
  for (let index = 0; index < 7; index += 1) {
    await untilSent(index + 1);
    const statement = sent[index];
    if (statement?.items.includes("bad") === true) statement.fail("one");
    else statement?.succeed();
  }
  const settled = await results;
  expect(settled.map(({ status }) => status).indexOf("rejected")).toBe(4);
  expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(7);
  expect(sent).toHaveLength(7);
});

it("an error of all is everybody's, and the next items are tried as ever", async () => {
  const { add, sent, untilSent } = open();
  const failing = Promise.allSettled([add("a"), add("b")]);
  await untilSent(1);
  sent[0]?.fail("away");
  expect(await failing).toMatchObject([{ reason: { code: "away" } }, { reason: { code: "away" } }]);
  const next = add("a");
  await untilSent(2);
  sent[1]?.succeed();
  expect(await next).toBe("A");
});

it("those who wait for a stuck item of their key do not crowd out the others", async () => {
  const { add, sent, untilSent } = open({ mostWaiting: 2 });
  void add("a");
  await untilSent(1);
  await vi.advanceTimersByTimeAsync(500);
  void add("a.1");
  void add("a.2");
  await expect(add("a.3")).rejects.toMatchObject({ code: "database_busy" });
  const other = add("b");
  await untilSent(2);
  sent[1]?.succeed();
  expect(await other).toBe("B");
});
