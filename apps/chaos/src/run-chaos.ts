import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isRetryable, toAppError } from "@pipeline/runtime";
import { createDiskStore } from "@pipeline/storage";
import { type ChaosRun, seconds } from "./chaos-run.ts";
import { runFaults } from "./faults.ts";
import { type Fleet, startFleet } from "./fleet.ts";
import { createLoad, type Load, sendSteadily } from "./load.ts";
import { countUnfinished, measureClockOffset } from "./observe.ts";
import type { ChaosOptions } from "./options.ts";
import { waitUntil } from "./patience.ts";
import { planFaults } from "./plan.ts";
import { killItsWorkers, poisonDocument } from "./poison.ts";
import { type Proxy, startProxy } from "./proxy.ts";
import { createRandom } from "./random.ts";
import type { ChaosReport } from "./report.ts";
import { openServer, type Server } from "./server.ts";
import { createTakeovers, type Takeovers } from "./takeovers.ts";
import { compileWorker } from "./worker-process.ts";
import { writeReport } from "./write-report.ts";

export interface ChaosSurroundings {
  /** Aborting it ends the run early. */
  signal: AbortSignal;
  /** Told how it goes, for people. */
  say: (line: string) => void;
  /** Given every line that a worker logs, its pid in front. */
  keepLog: (line: string) => void;
}

/**
 * Load and faults for `seconds`, then rest until everything has finished, then the proof.
 * Whatever it started is gone when it returns or throws.
 */
export async function runChaos(
  options: ChaosOptions,
  { signal, say, keepLog }: ChaosSurroundings,
): Promise<ChaosReport> {
  const directory = await mkdtemp(join(tmpdir(), "pipeline-chaos-"));
  const stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }));
  try {
    const server = await openServer(options.url);
    stack.defer(() => server.stop());
    const proxy = await startProxy(server.url);
    stack.defer(() => proxy.close());
    say(`${server.described}; seed ${options.seed}`);
    return await runOn({ options, server, proxy, directory, signal, say, keepLog }, stack);
  } finally {
    await stack.disposeAsync();
  }
}

interface Place extends ChaosSurroundings {
  options: ChaosOptions;
  server: Server;
  proxy: Proxy;
  directory: string;
}

async function runOn(place: Place, stack: AsyncDisposableStack): Promise<ChaosReport> {
  const { options, server, directory, signal, say } = place;
  const startedAt = performance.now();
  const copies = join(directory, "copies");
  await mkdir(copies);
  await compileWorker();
  const load = createLoad({
    database: server.database,
    storage: openStore(directory),
    random: createRandom(options.seed),
  });
  stack.defer(() => load.close());
  const fleet = startFleet({ envs: workerEnvs(place, copies), keep: place.keepLog });
  stack.defer(async () => void (await fleet.stop(0)));
  const takeovers = createTakeovers(server.database);
  const watch = watchDatabase({ server, takeovers });
  stack.defer(() => watch.stop());
  const { faults, poison } = await loadAndFaults(place, { load, fleet, takeovers, watch });
  say(`load and faults are over after ${seconds(startedAt)} s, ${watch.unfinished()} jobs to go`);
  const rest = { forMs: options.settleSeconds * 1_000, everyMs: 200, signal };
  await waitUntil(async () => (await countUnfinished(server.database)) === 0, rest);
  const stubborn = await fleet.stop(signal.aborted ? 0 : GRACE_MS);
  await delay(PARSER_GRACE_MS);
  await watch.stop();
  say(`workers stopped after ${seconds(startedAt)} s`);
  const leftovers = await readdir(copies);
  const { aborted: interrupted } = signal;
  const run = { options, server, fleet, takeovers, load, faults, poison, leftovers, stubborn, startedAt, interrupted };
  return writeReport(run);
}

/** Above the 25 s in which a worker finishes what it has in hand, and its goodbyes. */
const GRACE_MS = 35_000;
/** A parser looks once a second whether its worker still lives. */
const PARSER_GRACE_MS = 2_500;

function openStore(directory: string) {
  // The place where a worker with this DATA_DIR looks.
  return createDiskStore({
    directory: join(directory, "objects"),
    publicUrl: () => "http://127.0.0.1",
    secret: randomUUID(),
  });
}

/** As many as a worker has jobs in hand; all workers, and what watches them, stay below the server's 100. */
const POOL_SIZE = 4;

/** The first worker reaches the database by way of the proxy. */
function workerEnvs({ options, server, proxy, directory }: Place, copies: string): Record<string, string>[] {
  return Array.from({ length: options.workers }, (_, index) => ({
    DATABASE_URL: index === 0 ? proxy.url : server.url,
    DATA_DIR: directory,
    TMPDIR: copies,
    LOG_LEVEL: "info",
    DATABASE_POOL_SIZE: String(POOL_SIZE),
  }));
}

interface Actors {
  load: Load;
  fleet: Fleet;
  takeovers: Takeovers;
  watch: DatabaseWatch;
}

async function loadAndFaults(place: Place, { load, fleet, takeovers, watch }: Actors) {
  const { options, server, proxy, signal, say } = place;
  const { database } = server;
  const offsetMs = await measureClockOffset(database);
  const dbTime = (): Date => new Date(Date.now() + offsetMs);
  const random = createRandom(options.seed + 1);
  const plan = planFaults(random, options);
  const { sparesSuspects, documents } = options;
  const tooLate = AbortSignal.timeout(options.latestSeconds * 1_000);
  const parts = {
    database,
    server,
    fleet,
    proxy,
    takeovers,
    random,
    sparesSuspects,
    dbTime,
    signal: AbortSignal.any([signal, tooLate]),
  };
  const poison: ChaosRun["poison"] = { sent: undefined, killed: 0 };
  const poisoning = async (): Promise<void> => {
    poison.sent = await load.send(poisonDocument());
    const settled = AbortSignal.timeout((options.latestSeconds + options.settleSeconds / 2) * 1_000);
    const until = AbortSignal.any([signal, settled]);
    poison.killed = await killItsWorkers(poison.sent.job_id, { database, fleet, takeovers, dbTime, signal: until });
  };
  const pace = { documents, seconds: options.seconds, backlog: () => watch.unfinished(), signal };
  const telling = setInterval(
    () => say(`${load.sent.length} documents sent, ${watch.unfinished()} jobs open`),
    TELL_MS,
  );
  try {
    const [faults] = await Promise.all([
      runFaults(plan, parts),
      sendSteadily(load, { random: createRandom(options.seed + 2), pace }),
      poisoning(),
    ]);
    return { faults, poison };
  } finally {
    clearInterval(telling);
  }
}

const TELL_MS = 15_000;

interface DatabaseWatch {
  /** Jobs not finished at the last look. */
  unfinished(): number;
  stop(): Promise<void>;
}

const LOOK_EVERY_MS = 150;

/** Looks at the database all the time; what cannot be seen while it is away is seen later. */
function watchDatabase({ server, takeovers }: { server: Server; takeovers: Takeovers }): DatabaseWatch {
  const over = new AbortController();
  let unfinished = 0;
  const look = async (): Promise<void> => {
    while (!over.signal.aborted) {
      try {
        await takeovers.poll();
        unfinished = await countUnfinished(server.database);
      } catch (error) {
        if (!isRetryable(toAppError(error))) throw error;
      }
      await delay(LOOK_EVERY_MS);
    }
  };
  const looking = look();
  // Told by `stop`.
  looking.catch(() => undefined);
  return {
    unfinished: () => unfinished,
    stop: async () => {
      over.abort();
      await looking;
    },
  };
}
