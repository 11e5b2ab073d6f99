import { FAULTS, type Fault } from "./fault-plan.ts";

/** What an emulator was asked and how it answered. */
export interface RequestStats {
  /** Answers by route and status: `{ "POST /v1/embeddings": { "200": 3, "429": 1 } }`. */
  answers: Record<string, Record<string, number>>;
  /** Faults by kind, those that `failNext` ordered included. */
  faults: Record<Fault, number>;
}

export interface Tally {
  countAnswer(route: string, status: number): void;
  countFault(fault: Fault): void;
  read(): RequestStats;
}

export function createTally(): Tally {
  const answers = new Map<string, Map<string, number>>();
  const faults = new Map<Fault, number>();
  return {
    countAnswer(route, status) {
      const statuses = answers.get(route) ?? new Map<string, number>();
      answers.set(route, statuses);
      statuses.set(String(status), (statuses.get(String(status)) ?? 0) + 1);
    },
    countFault(fault) {
      faults.set(fault, (faults.get(fault) ?? 0) + 1);
    },
    read: () => ({
      answers: Object.fromEntries([...answers].map(([route, statuses]) => [route, Object.fromEntries(statuses)])),
      faults: countAll(faults),
    }),
  };
}

function countAll(counted: ReadonlyMap<Fault, number>): Record<Fault, number> {
  const none = { server_error: 0, rate_limited: 0, quota: 0, half_body: 0, timeout: 0 };
  for (const fault of FAULTS) none[fault] = counted.get(fault) ?? 0;
  return none;
}
