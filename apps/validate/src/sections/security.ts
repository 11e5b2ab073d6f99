import { randomUUID } from "node:crypto";
import { type Deployment, needToken, type SectionChecks } from "../deployment.ts";
import type { Check } from "../checklist.ts";
import { Fault, Skipped } from "../finding.ts";
import { type Answer, describeAnswer, readProblem } from "../http.ts";
import { MAX_CLOCK_SKEW_MS } from "./database.ts";

export const security: SectionChecks = async (deployment, check) => {
  await checkTokens(deployment, check);
  await checkOwnership(deployment, check);
  await checkBrowsers(deployment, check);
  await checkSurroundings(deployment, check);
};

async function checkTokens({ api, tokens }: Deployment, check: Check): Promise<void> {
  const refuses = async (token: string | undefined): Promise<string> => {
    const answer = await api("/documents", { token });
    if (answer.status < 400)
      throw new Fault(`it was let in, with ${answer.status}`, "See what verifies tokens before the API.");
    return readProblem(answer, 401).code;
  };
  await check("A user's token is accepted", async () => {
    const answer = await api("/documents", { token: needToken(tokens, "user") });
    if (answer.status === 200) return "200";
    throw new Fault(
      `answered ${describeAnswer(answer)}`,
      "The token has expired, or is signed with another key or issuer than the deployment's.",
    );
  });
  await check("No token is refused", () => refuses(undefined));
  await check("A forged token is refused", () => refuses(tokens.forged));
  await check("A token without a signature is refused", () => refuses(unsigned(tokens.user ?? tokens.forged)));
  await check("The secret of published templates opens nothing", () => refuses(tokens.published));
  await check("An expired token is refused", () => refuses(needToken(tokens, "expired")));
  await check("Users are not let into /admin", async () => {
    const answer = await api("/admin/queue", { token: needToken(tokens, "user") });
    if (answer.status < 400) throw new Fault(`a user's token is let in, with ${answer.status}`);
    return describeAnswer(answer);
  });
  await check("The service key is no user's token", async () => {
    await refuses(needToken(tokens, "service"));
    return "refused where users are asked for";
  });
}

/** `alg: none`, and the signature gone. */
function unsigned(token: string): string {
  const header = Buffer.from(JSON.stringify({ alg: "none", typ: "JWT" })).toString("base64url");
  return `${header}.${token.split(".")[1] ?? ""}.`;
}

async function checkOwnership({ api, tokens, known }: Deployment, check: Check): Promise<void> {
  await check("Another user's document does not exist", async () => {
    const other = needToken(tokens, "otherUser");
    const run = known.document;
    if (run === undefined) throw new Skipped("no document could be uploaded");
    const paths = [`/documents/${run.document_id}`, `/jobs/${run.job_id}`, `/jobs/${run.job_id}/events`];
    for (const path of paths) readProblem(await api(path, { token: other }), 404);
    const found = await api("/search", { token: other, method: "POST", body: { query: run.question } });
    if (found.text.includes(run.answer)) throw new Fault("search shows a user another's text");
    return "404 for document, job and events, and not found by search";
  });
  await check("Unsigned callbacks are refused", async () => {
    const answer = await api(`/webhooks/llamaparse/${known.document?.job_id ?? randomUUID()}`, {
      method: "POST",
      body: { event_type: "parse.success" },
    });
    if (answer.status !== 404) return readProblem(answer, 403).code;
    const { code } = readProblem(answer, 404);
    if (code !== "route_not_found") throw new Fault(`answered ${describeAnswer(answer)}`);
    return "none are taken: the API has no LLAMAPARSE_API_KEY";
  });
}

async function checkBrowsers({ root, settings }: Deployment, check: Check): Promise<void> {
  await check("Pages of unknown origins may not call", async () => {
    const origin = `https://${randomUUID()}.example`;
    const allowed = await askOrigin(root, origin);
    if (allowed === "*")
      throw new Fault(
        "every origin may call (access-control-allow-origin: *)",
        "Set CORS_ORIGINS to the pages' origins.",
      );
    if (allowed === origin) throw new Fault("whatever origin asks may call", "Set CORS_ORIGINS to the pages' origins.");
    return "no access-control-allow-origin for them";
  });
  await check("Pages of our own origin may call", async () => {
    if (settings.origin === undefined) throw new Skipped("needs the origin (--origin)");
    if ((await askOrigin(root, settings.origin)) === settings.origin) return settings.origin;
    throw new Fault(`${settings.origin} may not call`, "Add it to CORS_ORIGINS.");
  });
  await check("Answers carry the security headers", async () => {
    const { headers } = await root("/health/live");
    const missing = SECURITY_HEADERS.filter((name) => headers.get(name) === null);
    if (missing.length > 0) throw new Fault(`missing: ${missing.join(", ")}`, "See what stands before the API.");
    if (headers.get("x-powered-by") !== null) throw new Fault("x-powered-by tells what it is built with");
    return SECURITY_HEADERS.join(", ");
  });
}

const SECURITY_HEADERS = [
  "content-security-policy",
  "strict-transport-security",
  "x-content-type-options",
  "x-frame-options",
] as const;

async function askOrigin(root: Deployment["root"], origin: string): Promise<string | null> {
  const answer = await root("/api/upload-pipeline/documents", {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "GET" },
  });
  return answer.headers.get("access-control-allow-origin");
}

async function checkSurroundings({ root, settings }: Deployment, check: Check): Promise<void> {
  await check("It is reached by TLS", async () => {
    const { protocol, hostname } = new URL(settings.url);
    if (protocol === "https:") return "https";
    if (/^(localhost|127\.|\[::1\])/.test(hostname)) throw new Skipped("on this machine");
    throw new Fault(`${settings.url} sends tokens in the clear`);
  });
  await check("Its clock is right", async () => {
    const sentAt = Date.now();
    const answer = await root("/health/live");
    const skew = clockSkew(answer, (sentAt + Date.now()) / 2);
    if (Math.abs(skew) > MAX_CLOCK_SKEW_MS) {
      throw new Fault(
        `clock_skew: it is ${Math.round(skew / 1_000)} s off this machine's`,
        "Run NTP on both; tokens and links expire by it.",
      );
    }
    return {
      detail: `within ${MAX_CLOCK_SKEW_MS / 1_000} s of this machine's`,
      figures: { skew_ms: Math.round(skew) },
    };
  });
}

/** The header has whole seconds: half of one is the best guess. */
function clockSkew({ headers }: Answer, now: number): number {
  const date = Date.parse(headers.get("date") ?? "");
  if (Number.isNaN(date)) throw new Fault("its answers have no Date");
  return date + 500 - now;
}
