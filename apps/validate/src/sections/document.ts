import { createHash, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { countTraces, STATUSES } from "@pipeline/db";
import { z } from "zod";
import type { Check } from "../checklist.ts";
import { type Deployment, needToken, type SectionChecks, type TestDocument } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import { describeAnswer, read } from "../http.ts";

const uploadAnswer = z.looseObject({
  job_id: z.string(),
  document_id: z.string(),
  signed_url: z.string().nullable(),
  upload: z.looseObject({ method: z.string(), headers: z.record(z.string(), z.string()) }).nullable(),
  duplicate: z.boolean(),
  correlation_id: z.string(),
});
const jobAnswer = z.looseObject({
  status: z.string(),
  state: z.string(),
  retry_count: z.number(),
  last_error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
});
const eventsAnswer = z.looseObject({
  events: z.array(
    z.looseObject({
      type: z.string(),
      status: z.string(),
      state: z.string(),
      code: z.string().nullable(),
      correlation_id: z.string(),
      created_at: z.string(),
    }),
  ),
});
const searchAnswer = z.looseObject({
  results: z.array(
    z.looseObject({
      document_id: z.string(),
      filename: z.string(),
      text: z.string(),
      similarity: z.number(),
      page_start: z.number(),
      section: z.string().nullable(),
    }),
  ),
});

const POLL_MS = 200;

export const document: SectionChecks = async (deployment, check) => {
  const { known, api, tokens } = deployment;
  await check("A document can be uploaded", () => upload(deployment));
  await check("It becomes complete", () => watch(deployment));
  await check("Every status was recorded, in order", async () => {
    const run = needDocument(known.document);
    const answer = await api(`/jobs/${run.job_id}/events?limit=100`, { token: tokens.user });
    run.events = read(answer, 200, eventsAnswer).events;
    const reached = [...new Set(run.events.map(({ status }) => status))];
    if (reached.join() === STATUSES.join()) return `${run.events.length} events, ${reached.length} statuses`;
    throw new Fault(`recorded were ${reached.join(", ")}`);
  });
  await check("Search answers from it, with its source", () => search(deployment));
  await check("The same file again is the same document", async () => {
    const run = needComplete(known.document);
    const again = read(
      await api("/upload", { token: tokens.user, method: "POST", body: promiseOf(run) }),
      200,
      uploadAnswer,
    );
    if (!again.duplicate || again.document_id !== run.document_id)
      throw new Fault("the file was taken for another one");
    return "duplicate, with the same ids";
  });
};

async function upload(deployment: Deployment): Promise<string> {
  const { api, root, known } = deployment;
  const token = needToken(deployment.tokens, "user");
  const made = makeText();
  const answer = await api("/upload", { token, method: "POST", body: promiseOf(made) });
  if (answer.status === 401)
    throw new Fault(`the token was refused: ${describeAnswer(answer)}`, "See that it has not expired.");
  const promised = read(answer, 201, uploadAnswer);
  const { job_id, document_id, correlation_id, signed_url: url, upload: how } = promised;
  known.document = { ...made, job_id, document_id, correlation_id };
  if (url === null || how === null) throw new Fault("no upload link was given");
  const { host } = new URL(url);
  const put = await root(url, { method: "PUT", headers: how.headers, body: made.text });
  if (put.status !== 200) throw new Fault(`storage at ${host} answered ${describeAnswer(put)}`);
  const headers = { "x-correlation-id": correlation_id };
  const confirmed = await api(`/documents/${document_id}/uploaded`, { token, method: "POST", headers });
  if (confirmed.status !== 202) throw new Fault(`its confirmation was answered ${describeAnswer(confirmed)}`);
  known.document.confirmedAt = performance.now();
  return `${Buffer.byteLength(made.text)} bytes to ${host}, job ${job_id}`;
}

interface MadeText {
  text: string;
  question: string;
  answer: string;
}

/** Unlike any other document, and with one sentence that answers one question. */
function makeText(): MadeText {
  const name = `Validation ${randomBytes(5).toString("hex")}`;
  const answer = `The deductible of policy ${name} is ${randomBytes(2).readUInt16BE() + 1_000} dollars.`;
  const text = `# ${name}\n\nThis document was made to validate a deployment and is deleted after that.\n\n## Deductible\n\n${answer}\n\n## Exclusions\n\nDamage by floods, wars and wear is not covered by this policy at all.\n`;
  return { text, answer, question: `What is the deductible of policy ${name}?` };
}

function promiseOf({ text }: Pick<MadeText, "text">) {
  const bytes = Buffer.from(text);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { filename: "validation.md", mime: "text/markdown", bytes_len: bytes.byteLength, sha256 };
}

async function watch({ api, tokens, known, settings }: Deployment) {
  const run = needDocument(known.document);
  const { confirmedAt } = run;
  if (confirmedAt === undefined) throw new Skipped("its upload was not confirmed");
  for (;;) {
    const job = read(await api(`/jobs/${run.job_id}`, { token: tokens.user }), 200, jobAnswer);
    const ms = Math.round(performance.now() - confirmedAt);
    run.watchedMs = ms;
    if (job.state === "done") {
      run.completedMs = ms;
      return { detail: `after ${(ms / 1_000).toFixed(1)} s`, figures: { complete_ms: ms, retries: job.retry_count } };
    }
    const stand = `${job.status}, ${job.state}${job.last_error ? `, ${job.last_error.code}: ${job.last_error.message}` : ""}`;
    if (["deadletter", "cancelled"].includes(job.state)) throw new Fault(`it ended as ${stand}`);
    if (ms > settings.documentTimeoutMs) {
      throw new Fault(`after ${settings.documentTimeoutMs / 1_000} s it is ${stand}`, `pnpm jobs show ${run.job_id}`);
    }
    await delay(POLL_MS);
  }
}

async function search({ api, tokens, known }: Deployment) {
  const run = needComplete(known.document);
  const answer = await api("/search", {
    token: tokens.user,
    method: "POST",
    body: { query: run.question, document_ids: [run.document_id] },
  });
  const [best] = read(answer, 200, searchAnswer).results;
  if (best === undefined) throw new Fault("nothing was found in a complete document");
  if (!best.text.includes(run.answer)) throw new Fault("the best passage is not the one that answers");
  const figures = { similarity: Number(best.similarity.toFixed(3)), search_ms: Math.round(answer.ms) };
  return { detail: `${best.filename}, page ${best.page_start}, section ${best.section ?? "none"}`, figures };
}

/** Runs last, whatever happened before: takes the document away and sees that nothing of it is left. */
export async function removeDocument({ api, tokens, known, database }: Deployment, check: Check): Promise<void> {
  const run = known.document;
  if (run === undefined) return;
  await check("What was uploaded is deleted again", async () => {
    const path = `/documents/${run.document_id}`;
    const answer = await api(path, { token: tokens.user, method: "DELETE" });
    if (answer.status < 200 || answer.status > 299) {
      throw new Fault(
        `${run.document_id} is still there: ${describeAnswer(answer)}`,
        `Delete it by hand: DELETE ${path}`,
      );
    }
    const after = await api(path, { token: tokens.user });
    if (after.status !== 404) throw new Fault(`after its deletion it answers ${describeAnswer(after)}`);
    if (database === undefined) return "404 since";
    const left = Object.entries(await countTraces(database, run)).filter(([, count]) => count > 0);
    if (left.length > 0)
      throw new Fault(`rows are left: ${left.map(([name, count]) => `${count} ${name}`).join(", ")}`);
    return "404 since, and no row is left";
  });
}

function needDocument(run: TestDocument | undefined): TestDocument {
  if (run === undefined) throw new Skipped("no document could be uploaded");
  return run;
}

function needComplete(run: TestDocument | undefined): TestDocument {
  if (run?.completedMs === undefined) throw new Skipped("the document did not become complete");
  return run;
}
