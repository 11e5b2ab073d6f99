import { setTimeout as delay } from "node:timers/promises";
import { type LogLine, startWorkerProcess, type WorkerExit, type WorkerProcess } from "./worker-process.ts";

/** So many workers alive, whatever happens to them. */
export interface Fleet {
  /** Started, working, and not in the hands of a fault. */
  healthy(): WorkerProcess[];
  /** The worker that reaches the database through the proxy, while it is healthy. */
  proxied(): WorkerProcess | undefined;
  find(pid: number): WorkerProcess | undefined;
  /** SIGKILL; resolves when it is gone, its successor under way. */
  kill(worker: WorkerProcess): Promise<void>;
  /** SIGTERM; resolves with its exit, its successor under way. */
  restart(worker: WorkerProcess): Promise<WorkerExit>;
  /** Ends all: SIGTERM, and SIGKILL for whatever is left after `graceMs` (at once at 0). Answers what did not obey. */
  stop(graceMs: number): Promise<StubbornWorker[]>;
  figures: FleetFigures;
}

export interface StubbornWorker {
  pid: number;
  exit: WorkerExit;
}

export interface FleetFigures {
  started: number;
  /** Pids of every worker that ever ran; each leads a process group. */
  pids: number[];
  /** Workers that ended although nobody ended them, by what they said. */
  unplannedExits: Record<string, number>;
  /** How claims ended, as the workers that lived to tell logged it. */
  claimEnds: Record<string, number>;
  /** Failures of stages by code. */
  stageFailures: Record<string, number>;
  /** Other warnings and errors by message. */
  warnings: Record<string, number>;
}

/** As a supervisor does it, so that a server that is away is not hammered. */
const RESPAWN_AFTER_MS = 500;

/** `keep` is given every line that a worker logs, its pid in front. */
export function startFleet(input: { envs: readonly Record<string, string>[]; keep: (text: string) => void }): Fleet {
  const figures = emptyFigures();
  const slots: (WorkerProcess | undefined)[] = input.envs.map(() => undefined);
  let isStopping = false;

  const fill = (index: number): void => {
    const env = input.envs[index];
    if (isStopping || env === undefined) return;
    const worker = startWorkerProcess(env, { onLine: (line) => count(figures, line), keep: input.keep });
    figures.started += 1;
    figures.pids.push(worker.pid);
    slots[index] = worker;
    void replace(worker, index);
  };
  const replace = async (worker: WorkerProcess, index: number): Promise<void> => {
    const exit = await worker.exited;
    if (worker.ending === undefined) {
      add(figures.unplannedExits, describeExit(worker, exit));
      await delay(RESPAWN_AFTER_MS);
    }
    fill(index);
  };
  input.envs.forEach((_, index) => fill(index));
  const running = (): WorkerProcess[] => slots.filter((slot) => slot !== undefined).filter(isAlive);
  return {
    healthy: () => running().filter(isHealthy),
    proxied: () => slots.slice(0, 1).find((worker) => worker !== undefined && isAlive(worker) && isHealthy(worker)),
    find: (pid) => running().find((worker) => worker.pid === pid),
    kill: async (worker) => {
      end(worker, "SIGKILL");
      await worker.exited;
    },
    restart: (worker) => {
      end(worker, "SIGTERM");
      return worker.exited;
    },
    stop: async (graceMs) => {
      isStopping = true;
      return stopAll(running(), graceMs);
    },
    figures,
  };
}

function emptyFigures(): FleetFigures {
  return { started: 0, pids: [], unplannedExits: {}, claimEnds: {}, stageFailures: {}, warnings: {} };
}

function describeExit({ isReady, fatal }: WorkerProcess, { code, signal, stderr }: WorkerExit): string {
  return `${isReady ? "at work" : "starting"} ${code ?? signal} ${fatal ?? stderr.slice(0, 200)}`.trim();
}

function isHealthy(worker: WorkerProcess): boolean {
  return worker.isReady && worker.ending === undefined && !worker.isImpaired;
}

function isAlive({ child }: WorkerProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function end(worker: WorkerProcess, signal: "SIGKILL" | "SIGTERM"): void {
  worker.ending = signal === "SIGKILL" ? "killed" : "stopping";
  worker.child.kill(signal);
}

async function stopAll(workers: readonly WorkerProcess[], graceMs: number): Promise<StubbornWorker[]> {
  for (const worker of workers) end(worker, graceMs > 0 ? "SIGTERM" : "SIGKILL");
  const exits = await Promise.all(
    workers.map(async (worker) => ({ ...(await exitWithin(worker, graceMs)), isReady: worker.isReady })),
  );
  return exits.filter(({ exit, isReady }) => graceMs > 0 && exit.code !== 0 && !(endedUnborn(exit) && !isReady));
}

/** A signal that came before the process had read its program: nobody was there yet to listen for it. */
function endedUnborn({ signal }: WorkerExit): boolean {
  return signal === "SIGTERM";
}

async function exitWithin(worker: WorkerProcess, graceMs: number): Promise<StubbornWorker> {
  const timer = setTimeout(() => worker.child.kill("SIGKILL"), graceMs);
  const exit = await worker.exited;
  clearTimeout(timer);
  return { pid: worker.pid, exit };
}

function count(figures: FleetFigures, line: LogLine): void {
  if (line.msg === "claim ended") add(figures.claimEnds, line.outcome ?? "unknown");
  else if (line.msg === "stage failed") add(figures.stageFailures, line.err?.code ?? "unknown");
  else if (line.level !== "info") add(figures.warnings, `${line.level}: ${line.msg}`);
}

export function add(counts: Record<string, number>, key: string, by = 1): void {
  counts[key] = (counts[key] ?? 0) + by;
}
