import { randomUUID } from "node:crypto";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { bearerToken, isKnownKey } from "../emulator/bearer-token.ts";
import { addControlRoutes } from "../emulator/control-routes.ts";
import { createFaultPlan, type FailNextOptions, type Fault, type FaultOptions } from "../emulator/fault-plan.ts";
import { injectFaults, type RequestObserver } from "../emulator/inject-faults.ts";
import { createServer, listen, type ListenOptions } from "../emulator/listen.ts";
import { createRateBudget } from "../emulator/rate-budget.ts";
import { createTally, type RequestStats } from "../emulator/tally.ts";
import { addEmbeddingsRoute, type Budgets } from "./embeddings-route.ts";
import { type BilledInput, createLedger } from "./ledger.ts";
import { describeModel, findModel, MODELS } from "./models.ts";
import { badRequest, NO_KEY, sendError, unknownModel, wrongKey } from "./openai-error.ts";
import { refuseAsOpenAi } from "./refuse.ts";

export interface OpenAiOptions extends ListenOptions, FaultOptions {
  /** The keys that are good; by default every one that begins with `sk-`. */
  apiKeys?: readonly string[];
  /** By default those of a large account: 10,000 requests and 10,000,000 tokens a minute. */
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  onRequest?: RequestObserver;
  /** The clock of the rate limits, in milliseconds. */
  now?: () => number;
}

export interface OpenAiStats extends RequestStats {
  billed_tokens: number;
  /** Payments for inputs that had been paid for, with the answer delivered. */
  paid_again_count: number;
  inputs: BilledInput[];
}

export interface OpenAi {
  url: string;
  /** What OPENAI_BASE_URL takes. */
  baseUrl: string;
  stats(): OpenAiStats;
  failNext(fault: Fault, options?: FailNextOptions): void;
  close(): Promise<void>;
}

const DEFAULT_HANG_MS = 30_000;
/** 2,048 inputs of 8,192 tokens are refused by their tokens long before. */
const BODY_LIMIT = 32 * 1024 * 1024;

/** Embeddings and models of OpenAI's API. Throws `port_in_use` and `invalid_mock_options`. */
export async function startOpenAi(options: OpenAiOptions = {}): Promise<OpenAi> {
  const plan = createFaultPlan(options);
  const tally = createTally();
  const ledger = createLedger();
  const closing = new AbortController();
  const now = options.now ?? Date.now;
  const budgets: Budgets = {
    requests: createRateBudget({ perMinute: options.requestsPerMinute ?? 10_000, now }),
    tokens: createRateBudget({ perMinute: options.tokensPerMinute ?? 10_000_000, now }),
  };
  const stats = (): OpenAiStats => ({ ...tally.read(), ...ledger.read() });

  const app = createServer({ bodyLimit: BODY_LIMIT });
  app.setErrorHandler(answerFault);
  app.setNotFoundHandler(({ method, url: path }, reply) =>
    sendError(reply, badRequest(`Invalid URL (${method} ${path})`, { status: 404 })),
  );
  addControlRoutes(app, { plan, stats });
  await app.register(async (api) => {
    addServiceHeaders(api);
    requireKey(api, options.apiKeys);
    injectFaults(api, {
      plan,
      tally,
      hangMs: options.hangMs ?? DEFAULT_HANG_MS,
      closing: closing.signal,
      contentOf: ({ url, body }) => JSON.stringify([url, body]),
      billedRoutes: new Set(["POST /v1/embeddings"]),
      refuse: refuseAsOpenAi(budgets),
      onRequest: options.onRequest,
    });
    addEmbeddingsRoute(api, { budgets, ledger });
    addModelRoutes(api);
  });
  const url = await listen(app, options);
  return {
    url,
    baseUrl: `${url}/v1`,
    stats,
    failNext: (fault, order) => plan.failNext(fault, order),
    close: async () => {
      closing.abort();
      await app.close();
    },
  };
}

function addServiceHeaders(api: FastifyInstance): void {
  api.addHook("onRequest", async (_request, reply) => {
    reply.header("x-request-id", `req_${randomUUID().replaceAll("-", "")}`);
    reply.header("openai-version", "2020-10-01");
  });
  api.addHook("onSend", async (_request, reply, payload) => {
    reply.header("openai-processing-ms", Math.round(reply.elapsedTime));
    return payload;
  });
}

function requireKey(api: FastifyInstance, keys: readonly string[] | undefined): void {
  api.addHook("onRequest", async (request, reply) => {
    const key = bearerToken(request);
    if (key === undefined) return sendError(reply, NO_KEY);
    if (!isKnownKey(key, { keys, prefix: "sk-" })) return sendError(reply, wrongKey(key));
  });
}

function addModelRoutes(api: FastifyInstance): void {
  api.get("/v1/models", () => ({ object: "list", data: MODELS.map(describeModel) }));
  api.get<{ Params: { model: string } }>("/v1/models/:model", async ({ params }, reply) => {
    const model = findModel(params.model);
    return model === undefined ? sendError(reply, unknownModel(params.model)) : describeModel(model);
  });
}

/** What the server itself refuses: bodies that are no JSON, or too large. */
function answerFault(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const status = error.statusCode ?? 500;
  if (status >= 500) return sendError(reply, { status, message: error.message, type: "server_error" });
  return sendError(reply, badRequest("We could not parse the body of your request.", { status }));
}
