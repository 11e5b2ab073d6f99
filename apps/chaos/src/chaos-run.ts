import type { FaultResult } from "./faults.ts";
import type { Fleet, StubbornWorker } from "./fleet.ts";
import type { Load, SentDocument } from "./load.ts";
import type { ChaosOptions } from "./options.ts";
import type { Server } from "./server.ts";
import type { Takeovers } from "./takeovers.ts";

/** Everything that a run has seen. */
export interface ChaosRun {
  options: ChaosOptions;
  server: Server;
  fleet: Fleet;
  takeovers: Takeovers;
  load: Load;
  faults: FaultResult;
  poison: { sent: SentDocument | undefined; killed: number };
  /** Names of the local copies that are left. */
  leftovers: string[];
  stubborn: StubbornWorker[];
  startedAt: number;
  interrupted: boolean;
}

export function seconds(startedAt: number): number {
  return Math.round((performance.now() - startedAt) / 1_000);
}
