import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { bearerToken, isKnownKey } from "../emulator/bearer-token.ts";
import { addControlRoutes } from "../emulator/control-routes.ts";
import type { Range } from "../emulator/dice.ts";
import {
  assertRange,
  createFaultPlan,
  type FailNextOptions,
  type Fault,
  type FaultOptions,
  type FaultPlan,
} from "../emulator/fault-plan.ts";
import { injectFaults, type RequestObserver } from "../emulator/inject-faults.ts";
import { createServer, listen, type ListenOptions } from "../emulator/listen.ts";
import { createRateBudget } from "../emulator/rate-budget.ts";
import { createTally, type RequestStats, type Tally } from "../emulator/tally.ts";
import { FILE_TOO_LARGE, INVALID_KEY, NOT_AUTHENTICATED, refuse, refuseAsLlamaParse } from "./answers.ts";
import { createCallbacks, type CallbackOptions, type CallbackStats } from "./callbacks.ts";
import { createDesk, type LlamaParseDesk } from "./desk.ts";
import { createJobRunner, type JobRunner } from "./job-runner.ts";
import { type BillingStats, createJobStore, type JobStore } from "./job-store.ts";
import { acceptForms } from "./multipart.ts";
import { createPageReader, type ReadPages } from "./read-pages.ts";
import { createResultCache } from "./result-cache.ts";
import { addV1Routes } from "./v1-routes.ts";
import { v1PushedResult } from "./v1-result.ts";
import { addV2Routes } from "./v2-routes.ts";

export interface LlamaParseOptions extends ListenOptions, FaultOptions, CallbackOptions {
  /** The keys that are good; by default every one that begins with `llx-`. */
  apiKeys?: readonly string[];
  /** How long a job takes; by default no longer than its reading. */
  parseMs?: Range;
  /** Hosts beside this machine's own that callbacks may go to. */
  webhookHosts?: readonly string[];
  /** 300 MB by default. */
  maxFileBytes?: number;
  /** Uploads are refused with 402 once so many credits are used; without limit by default. */
  creditLimit?: number;
  /** The account's rate limit; without limit by default. */
  uploadsPerMinute?: number;
  /** How long a finished job's credits read 0; 60 s by default. */
  billingDelayMs?: number;
  /** Instead of the pipeline's own parser, which starts a process per document. */
  readPages?: ReadPages;
  onRequest?: RequestObserver;
  /** The clock of timestamps, limits, cache and billing, in milliseconds. */
  now?: () => number;
}

export interface LlamaParseStats extends RequestStats, BillingStats {
  callbacks: CallbackStats;
}

export interface LlamaParse {
  /** What LLAMAPARSE_BASE_URL takes. */
  url: string;
  stats(): LlamaParseStats;
  failNext(fault: Fault, options?: FailNextOptions): void;
  /** Ends the waiting of all jobs under way. */
  finishJobs(): void;
  /** Sends at once the callbacks that would come late. */
  sendLateCallbacks(): void;
  /** Resolves when no job is under way and no callback on its way. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

const MOST_FILE_BYTES = 300 * 1_000_000;
/** For a form's other fields. */
const FORM_BYTES = 1_000_000;
const DEFAULT_HANG_MS = 30_000;
const DEFAULT_BILLING_DELAY_MS = 60_000;

const BILLED_ROUTES: ReadonlySet<string> = new Set([
  "POST /api/v1/parsing/upload",
  "POST /api/parsing/upload",
  "POST /api/v2/parse",
  "POST /api/v2/parse/upload",
]);

/** Uploads, jobs, results and callbacks of LlamaParse. Throws `port_in_use` and `invalid_mock_options`. */
export async function startLlamaParse(options: LlamaParseOptions = {}): Promise<LlamaParse> {
  const { seed = 1, parseMs = [0, 0], now = Date.now, maxFileBytes = MOST_FILE_BYTES } = options;
  assertRange("parseMs", parseMs);
  const plan = createFaultPlan(options);
  const tally = createTally();
  const closing = new AbortController();
  const store = createJobStore();
  const parts = { seed, now, closing: closing.signal };
  const callbacks = createCallbacks({ ...options, ...parts, resultOf: v1PushedResult });
  const cache = createResultCache(now);
  const readPages = options.readPages ?? createPageReader();
  const runner = createJobRunner({ ...parts, parseMs, store, cache, callbacks, readPages });
  const stats = (): LlamaParseStats => ({ ...tally.read(), ...store.stats(), callbacks: callbacks.stats() });

  const app = await buildApp({
    options,
    plan,
    tally,
    stats,
    store,
    runner,
    now,
    maxFileBytes,
    closing: closing.signal,
  });
  return {
    url: await listen(app, options),
    stats,
    failNext: (fault, order) => plan.failNext(fault, order),
    finishJobs: () => runner.finishJobs(),
    sendLateCallbacks: () => callbacks.sendLate(),
    settled: () => runner.settled(),
    close: async () => {
      closing.abort();
      await app.close();
      await runner.settled();
    },
  };
}

interface AppParts {
  options: LlamaParseOptions;
  plan: FaultPlan;
  tally: Tally;
  stats: () => LlamaParseStats;
  store: JobStore;
  runner: JobRunner;
  now: () => number;
  maxFileBytes: number;
  closing: AbortSignal;
}

async function buildApp(parts: AppParts): Promise<FastifyInstance> {
  const { options, plan, tally, closing, stats } = parts;
  const app = createServer({ bodyLimit: parts.maxFileBytes + FORM_BYTES });
  app.setErrorHandler(answerFault);
  app.setNotFoundHandler((_request, reply) => refuse(reply, { status: 404, detail: "Not Found" }));
  addControlRoutes(app, { plan, stats });
  await app.register(async (api) => {
    const desk = buildDesk(api, parts);
    requireKey(api, options.apiKeys);
    injectFaults(api, {
      plan,
      tally,
      closing,
      hangMs: options.hangMs ?? DEFAULT_HANG_MS,
      contentOf: (request) => describeContent(request, desk),
      billedRoutes: BILLED_ROUTES,
      refuse: refuseAsLlamaParse,
      onRequest: options.onRequest,
    });
    addV1Routes(api, desk);
    addV2Routes(api, desk);
  });
  return app;
}

function buildDesk(api: FastifyInstance, { options, store, runner, now, maxFileBytes }: AppParts): LlamaParseDesk {
  const { uploadsPerMinute: perMinute } = options;
  return createDesk({
    store,
    runner,
    now,
    maxFileBytes,
    formOf: acceptForms(api),
    uploadRate: perMinute === undefined ? undefined : createRateBudget({ perMinute, now }),
    webhookHosts: options.webhookHosts ?? [],
    creditLimit: options.creditLimit ?? Infinity,
    billingDelayMs: options.billingDelayMs ?? DEFAULT_BILLING_DELAY_MS,
  });
}

function requireKey(api: FastifyInstance, keys: readonly string[] | undefined): void {
  api.addHook("onRequest", async (request, reply) => {
    const key = bearerToken(request);
    if (key === undefined) return refuse(reply, NOT_AUTHENTICATED);
    if (!isKnownKey(key, { keys, prefix: "llx-" })) return refuse(reply, INVALID_KEY);
  });
}

/** A form's boundary and a job's id are random: its file and the job's own key are not. */
function describeContent(request: FastifyRequest, desk: LlamaParseDesk): string {
  const form = desk.formOf(request);
  if (form !== undefined) return form.file?.sha256 ?? "";
  const params = jobParams.safeParse(request.params);
  if (params.success) return desk.store.find(params.data.id)?.key ?? "";
  return JSON.stringify(request.body ?? null);
}

const jobParams = z.object({ id: z.string() });

/** What the server itself refuses: bodies that are too large or cannot be read, and our own faults. */
function answerFault(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const status = error.statusCode ?? 500;
  return refuse(reply, status === FILE_TOO_LARGE.status ? FILE_TOO_LARGE : { status, detail: error.message });
}
