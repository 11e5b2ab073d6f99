import { describe, expect, it } from "vitest";
import {
  CANNOT_CLAIM_MS,
  findDeadly,
  findUnready,
  LOOP_DEAD_MS,
  NO_HEARTBEAT_MS,
  NOT_READY_MS,
  type Vitals,
} from "./vitals.ts";

const WELL: Vitals = {
  started: 3_600_000,
  round_ended: 100,
  round_succeeded: 100,
  beat_succeeded: 3_000,
  has_session: true,
  job_count: 0,
  is_stopping: false,
};

const codes = (complaints: readonly { code: string }[]): string[] => complaints.map(({ code }) => code);

describe("a worker", () => {
  it.each<[string, Partial<Vitals>, string[], string[]]>([
    ["is well", {}, [], []],
    ["has just started", { started: 10, round_ended: undefined, round_succeeded: undefined }, [], ["not_started"]],
    [
      "never got round to its first round",
      { started: LOOP_DEAD_MS + 1, round_ended: undefined, round_succeeded: undefined, beat_succeeded: 10 },
      ["loop_dead"],
      ["not_started"],
    ],
    ["whose loop hangs", { round_ended: LOOP_DEAD_MS + 1 }, ["loop_dead"], ["loop_dead"]],
    ["whose database is away for a moment", { round_succeeded: NOT_READY_MS + 1 }, [], ["cannot_claim"]],
    ["whose database is away for long", { round_succeeded: CANNOT_CLAIM_MS + 1 }, ["cannot_claim"], ["cannot_claim"]],
    ["whose heartbeats fail for long", { beat_succeeded: NO_HEARTBEAT_MS + 1 }, ["no_heartbeat"], ["no_heartbeat"]],
    ["that lost its session", { has_session: false }, [], ["no_session"]],
    ["that stops", { is_stopping: true, round_ended: LOOP_DEAD_MS + 1 }, [], ["stopping"]],
  ])("that %s", (_what, vitals, deadly, unready) => {
    expect(codes(findDeadly({ ...WELL, ...vitals }))).toEqual(deadly);
    expect(codes(findUnready({ ...WELL, ...vitals }))).toEqual(unready);
  });
});
