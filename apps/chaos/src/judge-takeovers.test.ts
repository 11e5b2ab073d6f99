import { expect, test } from "vitest";
import { judgeTakeovers } from "./judge-takeovers.ts";
import type { LostClaim } from "./takeovers.ts";

const at = (seconds: number): Date => new Date(seconds * 1_000);

function lostClaim(overrides: Partial<LostClaim>): LostClaim {
  return {
    kind: "kill",
    pid: 1,
    job_id: "a job",
    fence: 1,
    crash_count: 0,
    in_hand: 1,
    lostAt: at(100),
    claimedAt: at(99),
    heldUntil: at(100),
    ...overrides,
  };
}

test("a takeover within 20 s is in time and in the figures", () => {
  const { figures, rescuedLate, takenLate } = judgeTakeovers([lostClaim({ rescuedAt: at(113), takenAt: at(114) })], []);
  expect({ rescuedLate, takenLate }).toEqual({ rescuedLate: [], takenLate: [] });
  expect(figures.kill).toMatchObject({ jobs: 1, rescued_ms: { max: 13_000 }, taken_ms: { max: 14_000 } });
});

test("a takeover after 20 s is late, the rescue before it is not", () => {
  const { rescuedLate, takenLate } = judgeTakeovers([lostClaim({ rescuedAt: at(113), takenAt: at(121) })], []);
  expect(rescuedLate).toEqual([]);
  expect(takenLate).toEqual([{ id: "a job", why: expect.stringContaining("13000 and taken over 21000 ms") }]);
});

test("jobs that lost their second worker count apart", () => {
  const taken = { rescuedAt: at(113), takenAt: at(115) };
  const { figures } = judgeTakeovers([lostClaim(taken), lostClaim({ ...taken, crash_count: 1 })], []);
  expect([figures.kill.jobs, figures.alone.jobs]).toEqual([1, 1]);
});

test("a job that stays in a lost worker's name is late, though nobody ever rescues it", () => {
  const { rescuedLate } = judgeTakeovers([lostClaim({ kind: "zombie", heldUntil: at(122) })], []);
  expect(rescuedLate).toEqual([{ id: "a job", why: expect.stringContaining("rescued never") }]);
});

test("time without a server is granted on top, and no more than that", () => {
  const outages = [{ from: at(105), until: at(110) }];
  const inTime = lostClaim({ rescuedAt: at(123), takenAt: at(124) });
  const late = lostClaim({ rescuedAt: at(123), takenAt: at(126) });
  expect(judgeTakeovers([inTime], outages).takenLate).toEqual([]);
  expect(judgeTakeovers([late], outages).takenLate).toHaveLength(1);
  expect(judgeTakeovers([inTime], outages).figures.kill).toMatchObject({ jobs: 1, in_outages: 1 });
});
