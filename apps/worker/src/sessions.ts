import { hostname } from "node:os";
import { type Database, endSession, heartbeat, listLostClaims, openSession, type Queryable } from "@pipeline/db";
import type { Logger } from "@pipeline/runtime";
import { LostClaim } from "./abort-reasons.ts";
import type { Hands } from "./hands.ts";

/** What this process shows the others to be alive. */
export interface Sessions {
  /** The session to claim in. */
  findCurrent(): string | undefined;
  /**
   * Opens a session and does the work in one transaction: what fails leaves no session behind, and a worker that cannot
   * claim never looks alive.
   */
  openWith<T>(work: (tx: Queryable, sessionId: string) => Promise<T>): Promise<{ sessionId: string; result: T }>;
  /** One round of heartbeats, and a look at whether the jobs in hand are still ours. Throws the database's errors. */
  beat(): Promise<void>;
  /**
   * No more claims in the current session; it ends when its last job is out of hand, and the rescue then takes what it
   * still holds. For jobs that the database may have given us without our knowing.
   */
  retire(): void;
  end(): Promise<void>;
  /** True while there is one to claim in. */
  hasCurrent(): boolean;
}

interface Session {
  id: string;
  /** When the last heartbeat that the database took was sent, on this process's own monotonic clock. */
  beatAt: number;
  isRetired: boolean;
}

interface SessionDependencies {
  database: Database;
  hands: Hands;
  log: Logger;
  workerName: string;
  leaseMs: number;
}

/** An expired session never lives again: its jobs are stopped, and the next claim opens a new one. */
export function createSessions(dependencies: SessionDependencies): Sessions {
  const { database, hands, log, leaseMs } = dependencies;
  const sessions = new Map<string, Session>();
  const findCurrent = (): Session | undefined => [...sessions.values()].find((session) => !session.isRetired);

  const lose = (session: Session): void => {
    sessions.delete(session.id);
    log.warn({ session_id: session.id }, "session lost");
    hands.abort((hand) => hand.sessionId === session.id, new LostClaim());
  };
  const beatOne = async (session: Session): Promise<void> => {
    const sentAt = performance.now();
    try {
      if (await heartbeat(database, { session_id: session.id, leaseMs })) session.beatAt = sentAt;
      else lose(session);
    } catch (error) {
      // Nobody answers, but the others see the lease run out all the same.
      if (performance.now() - session.beatAt >= leaseMs) lose(session);
      throw error;
    }
  };
  return {
    findCurrent: () => findCurrent()?.id,
    openWith: (work) => open(dependencies, { sessions, work }),
    beat: async () => {
      for (const session of sessions.values()) {
        const isOver = session.isRetired && !hands.hasJobsOf(session.id);
        if (!isOver) await beatOne(session);
        else await close(database, { session, sessions });
      }
      await stopLostClaims(database, hands);
    },
    retire: () => {
      const session = findCurrent();
      if (session) session.isRetired = true;
    },
    end: async () => {
      for (const session of sessions.values()) await close(database, { session, sessions });
    },
    hasCurrent: () => findCurrent() !== undefined,
  };
}

async function open<T>(
  { database, workerName, leaseMs, log }: SessionDependencies,
  to: { sessions: Map<string, Session>; work: (tx: Queryable, sessionId: string) => Promise<T> },
): Promise<{ sessionId: string; result: T }> {
  const beatAt = performance.now();
  const identity = { worker_name: workerName, hostname: hostname(), pid: process.pid, leaseMs };
  let sessionId: string | undefined;
  try {
    const opened = await database.transaction(async (tx) => {
      sessionId = await openSession(tx, identity);
      return { sessionId, result: await to.work(tx, sessionId) };
    });
    to.sessions.set(opened.sessionId, { id: opened.sessionId, beatAt, isRetired: false });
    log.info({ session_id: opened.sessionId }, "session opened");
    return opened;
  } catch (error) {
    // It may be there, with jobs in it, and only the answer was lost: the next heartbeat ends it, so that they are rescued.
    if (sessionId !== undefined) to.sessions.set(sessionId, { id: sessionId, beatAt, isRetired: true });
    throw error;
  }
}

async function close(
  database: Database,
  { session, sessions }: { session: Session; sessions: Map<string, Session> },
): Promise<void> {
  await endSession(database, session.id);
  sessions.delete(session.id);
}

/** Cancelled, rescued or overdue: whoever took a job from us does not tell. */
async function stopLostClaims(database: Database, hands: Hands): Promise<void> {
  const claims = hands.claims();
  const lost = await listLostClaims(database, claims);
  const asked = new Set(claims);
  hands.abort(({ claim }) => asked.has(claim) && lost.has(claim.job_id), new LostClaim());
}
