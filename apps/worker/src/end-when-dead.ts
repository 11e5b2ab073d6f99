import type { Logger } from "@pipeline/runtime";
import { type Complaint, findDeadly, type Vitals } from "./vitals.ts";

interface Watched {
  readVitals: () => Vitals;
  log: Logger;
  /** Ends the process. */
  exit: () => void;
  /** How often is looked; 5 s by default. */
  everyMs?: number;
}

/**
 * Ends a process that a new one should replace, for supervisors that restart what has ended and ask nobody how it is. What
 * it has in hand is rescued. Answers how to stop looking.
 */
export function endWhenDead({ readVitals, log, exit, everyMs = 5_000 }: Watched): () => void {
  const look = (): void => {
    const failing: Complaint[] = findDeadly(readVitals());
    if (failing.length === 0) return;
    log.fatal({ failing }, "worker is dead");
    exit();
  };
  const timer = setInterval(look, everyMs).unref();
  return () => clearInterval(timer);
}
