import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import type { JSONWebKeySet } from "jose";
import { z } from "zod";
import { type Answer, jsonAnswer, textAnswer } from "./answer.ts";
import { type Exchange, type Project, SenderGone } from "./exchange.ts";
import { createFaults, type Fault, type FaultPlan, type FaultSource } from "./faults.ts";
import { answerPreflight, withGatewayHeaders } from "./gateway.ts";
import { signRoleKey } from "./project-keys.ts";
import { refuse, StorageRefusal } from "./refusals.ts";
import { ProtocolRefusal } from "./resumable-uploads.ts";
import { findRoute, type Route } from "./routes.ts";
import { sendAnswer } from "./send-answer.ts";

export interface SupabaseOptions {
  /** Chosen by the system if left out. */
  port?: number;
  host?: string;
  /** Signs and checks the keys and links; at least 32 bytes. */
  jwtSecret?: string;
  /** Public keys for user tokens, as `/auth/v1/.well-known/jwks.json` lists them. */
  jwks?: JSONWebKeySet;
  /** How long upload links live: two hours, as on the hosted service. */
  uploadLinkSeconds?: number;
  /** How long a resumable upload can be continued: a day. */
  resumableSeconds?: number;
  /** As hosted, where the addresses of resumable uploads begin with https whatever was asked. */
  isProduction?: boolean;
  faults?: FaultPlan;
}

export interface SupabaseStats {
  /** By route, such as "PUT /storage/v1/object/upload/sign/:bucket/*". */
  requests: Record<string, number>;
  faults: Record<string, number>;
  object_count: number;
  bytes: number;
}

export interface SupabaseEmulator {
  url: string;
  serviceRoleKey: string;
  anonKey: string;
  jwtSecret: string;
  stats(): SupabaseStats;
  /** The next requests of a route, named as in `stats`, meet the fault. */
  failNext(fault: Fault, options: { route: string; times: number }): void;
  close(): Promise<void>;
}

const LINK_SECONDS = 2 * 60 * 60;
const DAY_SECONDS = 24 * 60 * 60;

/** A well-known secret: whoever can reach the emulator may do everything with it anyway. */
const DEFAULT_JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";

interface Emulator {
  project: Project;
  faults: FaultSource;
  hangMs: number | undefined;
  counts: { requests: Map<string, number>; faults: Map<string, number> };
}

/**
 * Supabase Storage, and the list of public keys of Supabase Auth, on one port as behind the gateway. Behaves as
 * measured on the real service, traps included; everything is in memory and gone when it is closed.
 */
export async function startSupabase(options: SupabaseOptions = {}): Promise<SupabaseEmulator> {
  const { jwtSecret = DEFAULT_JWT_SECRET, host = "127.0.0.1", port = 0 } = options;
  const emulator = createEmulator(options, jwtSecret);
  const { project, faults, counts } = emulator;
  const server = createServer((request, response) => {
    // Whatever fails here is a fault of the emulator: its client sees a broken connection.
    serve(emulator, { request, response }).catch(() => response.destroy());
  });
  server.listen(port, host);
  await once(server, "listening");
  const address = z.object({ port: z.int() }).parse(server.address());
  return {
    url: `http://${host}:${address.port}`,
    serviceRoleKey: await signRoleKey(project.keys, "service_role"),
    anonKey: await signRoleKey(project.keys, "anon"),
    jwtSecret,
    stats: () => ({
      requests: Object.fromEntries(counts.requests),
      faults: Object.fromEntries(counts.faults),
      ...countObjects(project),
    }),
    failNext: (fault, where) => faults.force(fault, where),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function createEmulator(options: SupabaseOptions, jwtSecret: string): Emulator {
  return {
    project: {
      keys: { secret: new TextEncoder().encode(jwtSecret), jwks: options.jwks ?? { keys: [] } },
      buckets: new Map(),
      uploads: new Map(),
      uploadLinkSeconds: options.uploadLinkSeconds ?? LINK_SECONDS,
      resumableSeconds: options.resumableSeconds ?? DAY_SECONDS,
      isProduction: options.isProduction ?? false,
    },
    faults: createFaults(options.faults ?? { seed: 0 }),
    hangMs: options.faults?.hangMs,
    counts: { requests: new Map(), faults: new Map() },
  };
}

async function serve(
  emulator: Emulator,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
): Promise<void> {
  const url = new URL(request.url ?? "/", `http://${request.headers.host ?? "localhost"}`);
  const preflight = answerPreflight(request);
  if (preflight !== undefined) {
    sendAnswer({ request, response, fault: undefined }, preflight);
    return;
  }
  try {
    const { answer, fault } = await answerRequest(emulator, { request, url });
    if (answer !== undefined) sendAnswer({ request, response, fault }, withGatewayHeaders(answer, url));
    else if (emulator.hangMs !== undefined) setTimeout(() => response.destroy(), emulator.hangMs).unref();
  } catch (error) {
    if (error instanceof SenderGone) return;
    sendAnswer({ request, response, fault: undefined }, withGatewayHeaders(refusalAnswer(error, url), url));
  }
}

/** No answer where the fault is that none comes. */
async function answerRequest(
  emulator: Emulator,
  { request, url }: { request: IncomingMessage; url: URL },
): Promise<{ answer: Answer | undefined; fault: Fault | undefined }> {
  const method = request.method ?? "GET";
  const found = findRoute(method, url.pathname);
  if (found === undefined)
    return { answer: jsonAnswer(refuse.routeNotFound(`${method}:${url.pathname}`).body(), 404), fault: undefined };
  const { route, params } = found;
  const { fault, latencyMs } = drawFault(emulator, route);
  if (latencyMs > 0) await wait(latencyMs);
  const exchange: Exchange = { project: emulator.project, request, url, params, fault };
  return { answer: await answerWithFault(route, exchange), fault };
}

function drawFault(emulator: Emulator, route: Route): ReturnType<FaultSource["draw"]> {
  const { counts, faults } = emulator;
  const drawn = faults.draw(route.name);
  counts.requests.set(route.name, (counts.requests.get(route.name) ?? 0) + 1);
  if (drawn.fault !== undefined) counts.faults.set(drawn.fault, (counts.faults.get(drawn.fault) ?? 0) + 1);
  return drawn;
}

async function answerWithFault(route: Route, exchange: Exchange): Promise<Answer | undefined> {
  switch (exchange.fault) {
    case "server_error":
      return jsonAnswer(
        { statusCode: "500", error: "Internal", message: "Internal Server Error", code: "InternalError" },
        500,
      );
    case "rate_limit":
      return jsonAnswer(
        {
          statusCode: "429",
          error: "too_many_connections",
          message: "Too many connections issued to the database",
          code: "SlowDown",
        },
        429,
      );
    case "bad_gateway":
      return {
        ...textAnswer(502, "<html><title>502 Bad Gateway</title></html>"),
        headers: { "content-type": "text/html" },
      };
    case "hang":
      return undefined;
    case "cut_upload":
    case "cut_answer":
    case "short_answer":
    case undefined:
      return await route.handle(exchange);
  }
}

/** Resumable uploads speak plain text with the real status; everything else JSON with a 400 around it. */
function refusalAnswer(error: unknown, url: URL): Answer {
  const isResumable = url.pathname.startsWith("/storage/v1/upload/resumable");
  if (error instanceof ProtocolRefusal) return textAnswer(error.status, error.message);
  if (!(error instanceof StorageRefusal)) throw error;
  return isResumable ? textAnswer(error.refusal.statusCode, error.refusal.message) : jsonAnswer(error.body(), 400);
}

function countObjects(project: Project): { object_count: number; bytes: number } {
  let object_count = 0;
  let bytes = 0;
  for (const { objects } of project.buckets.values()) {
    object_count += objects.size;
    for (const object of objects.values()) bytes += object.bytes.byteLength;
  }
  return { object_count, bytes };
}
