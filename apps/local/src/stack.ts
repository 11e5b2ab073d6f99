import {
  buildApi,
  createServiceVerifier,
  createTokenVerifier,
  issuerOf,
  signDevelopmentToken,
  settingsFrom,
} from "@pipeline/api";
import {
  createEmbedder,
  createEmbedderCheck,
  createLlamaParse,
  createMonitoring,
  createParserCheck,
  dataDirectory,
  measureEmbedder,
  measureLlamaParse,
  measureStore,
  openDatabase,
  openStorage,
  selfTest,
  tokenSecret,
} from "@pipeline/composition";
import { checkSchemaVersion, createNotifier, migrate, type Database } from "@pipeline/db";
import { createWorkerMetrics } from "@pipeline/metrics";
import type { Environment, Logger } from "@pipeline/runtime";
import { createParser, createWorker, workerOptions } from "@pipeline/worker";
import { lockDirectory } from "./lock-directory.ts";

/** The whole system in this process: API, worker, database and storage. */
export interface LocalStack {
  url: string;
  database: Database;
  /** A token for the API, valid for a day unless said otherwise. */
  signToken(userId: string, expiresInSeconds?: number): Promise<string>;
  stop(): Promise<void>;
}

export interface StackOptions {
  environment: Environment;
  log: Logger;
  /** 0 takes any free port. */
  port: number;
}

const DAY_SECONDS = 86_400;
/** Long enough to finish a stage of an ordinary document; what is not finished goes on at the next start. */
const STOP_DEADLINE_MS = 5_000;

/**
 * Starts everything on what is configured, the embedded stand-ins where nothing is. Throws AppError conflict
 * `data_directory_in_use`, and the system's own error when the port is taken; then nothing is left running.
 */
export async function startStack(options: StackOptions): Promise<LocalStack> {
  const { environment, log, port } = options;
  const closers: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).toReversed()) await close();
  };
  try {
    closers.push(await lockDirectory(dataDirectory(environment)));
    const database = await openDatabase(environment, "local", log);
    closers.push(() => database.close());
    await migrate(database);
    await checkSchemaVersion(database);

    const address = { url: "" };
    const storage = await openStorage(environment, { publicUrl: () => address.url });
    const checks = { checkParser: createParserCheck(environment), checkEmbedder: createEmbedderCheck(environment) };
    await selfTest({ storage, ...checks }, log);
    const embedder = createEmbedder(environment);
    const parts = { environment, database, build: "local", log };
    const monitoring = await createMonitoring({ ...parts, service: "api", embedModel: embedder.model });
    const { calls, tracing } = monitoring;
    const measured = { storage: measureStore(storage, calls), embedder: measureEmbedder(embedder, calls) };
    const shared = { ...measured, database, tracing, log };
    const metrics = createWorkerMetrics(monitoring.registry);
    const notifier = createNotifier(database, { onError: (err) => log.warn({ err }, "wake-up not sent") });
    closers.push(() => Promise.all([notifier.close(), tracing.close()]));
    const llamaparse = createLlamaParse(environment);
    closers.push(async () => llamaparse?.client.close());
    const parser = createParser(llamaparse && { ...llamaparse, client: measureLlamaParse(llamaparse.client, calls) });
    const worker = createWorker({ ...shared, parser, metrics, options: workerOptions(environment) });
    await worker.start();
    closers.push(() => worker.stop({ deadlineMs: STOP_DEADLINE_MS }));

    const { verifiers, signToken } = await openTokens(environment);
    const system = { ...shared, ...checks, ...verifiers, monitoring, notifier };
    const api = await buildApi({ ...system, settings: settingsFrom(environment) });
    closers.push(() => closeApi(api));
    address.url = await api.listen({ host: environment.SERVICE_HOST, port });
    monitoring.watch.start();
    closers.push(() => monitoring.watch.stop());
    return { url: address.url, database, signToken, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Where there is a project, emulated or not, its tokens name it; those of the development secret alone name nobody. */
async function openTokens(environment: Environment) {
  const { SUPABASE_URL: supabaseUrl } = environment;
  const secret = await tokenSecret(environment);
  const trusted = supabaseUrl === undefined ? { secret } : { secret, supabaseUrl };
  const signing = supabaseUrl === undefined ? { secret } : { secret, issuer: issuerOf(supabaseUrl) };
  return {
    verifiers: { verifyToken: createTokenVerifier(trusted), verifyService: createServiceVerifier(trusted) },
    signToken: (userId: string, expiresInSeconds = DAY_SECONDS) =>
      signDevelopmentToken({ ...signing, userId, expiresInSeconds }),
  };
}

/** Answers what is in hand; an upload that still trickles in is cut off, and its sender can put it again. */
async function closeApi(api: Awaited<ReturnType<typeof buildApi>>): Promise<void> {
  const timer = setTimeout(() => api.server.closeAllConnections(), STOP_DEADLINE_MS);
  await api.close();
  clearTimeout(timer);
}
