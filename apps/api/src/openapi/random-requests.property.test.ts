import { resumeClaims } from "@pipeline/db";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { signDevelopmentToken, signServiceToken } from "../auth/sign-development-token.ts";
import { arbitraryRequest, type RequestSource } from "../testing/arbitrary-requests.ts";
import { readContractRuns } from "../testing/config.ts";
import {
  listOperations,
  type NamedOperation,
  parametersOf,
  resolveSchema,
  schemaCompiler,
} from "../testing/contract.ts";
import { createAnswerCheck, type CheckAnswer } from "../testing/check-answer.ts";
import { injectRequest } from "../testing/inject-request.ts";
import { seedUser, type SeededUser } from "../testing/seed-user.ts";
import { openTestApi, TOKEN_SECRET, type TestApi } from "../testing/test-api.ts";
import { buildContract } from "./build-contract.ts";
import { OPERATIONS } from "./operations/index.ts";

const contract = await buildContract();
const operations = listOperations(contract);
const runs = readContractRuns();
/** Where hardly anything is left to be random. */
const FEW_RUNS = Math.max(10, Math.ceil(runs.numRuns / 10));

let api: TestApi;
let check: CheckAnswer;
beforeAll(async () => {
  api = await openTestApi();
  check = createAnswerCheck(schemaCompiler(contract));
});
afterAll(() => api.close());

describe(`random requests, ${runs.numRuns} each of seed ${runs.seed}`, () => {
  it.each(operations)("$name answers every one as the contract says", async (named) => {
    const source = await seedSource(named);
    const succeeded = new Set<number>();
    const property = fc.asyncProperty(arbitraryRequest(named, source), async (request) => {
      const answer = await injectRequest(api.app, request);
      if (answer.status < 400) succeeded.add(answer.status);
      expect(check(named, answer)).toEqual([]);
    });
    await fc.assert(property, { ...runs, numRuns: hasInput(named) ? runs.numRuns : FEW_RUNS });
    // Else all of them were turned away at the door, and nothing is shown.
    expect(succeeded.size > 0 || NEEDS_MORE.has(named.operation.operationId ?? "")).toBe(true);
  });
});

function hasInput({ operation }: NamedOperation): boolean {
  return parametersOf(operation).length > 0 || operation.requestBody !== undefined;
}

/** What these take is signed or stored; tests of their own see to it. */
const NEEDS_MORE: ReadonlySet<string> = new Set(
  Object.values(OPERATIONS).flatMap(({ id, access }) =>
    access === "link" || access === "resumable" || access === "signature" || id === "signDocumentDownload" ? [id] : [],
  ),
);

/** Jobs that an operation serves; the others serve every one. */
const JOBS_FOR: Readonly<Record<string, (seeded: SeededUser) => string[]>> = {
  retryJob: ({ failed_job_ids }) => failed_job_ids,
  retryAnyJob: ({ failed_job_ids }) => failed_job_ids,
  cancelJob: ({ open_job_ids }) => open_job_ids,
  cancelAnyJob: ({ open_job_ids }) => open_job_ids,
};

async function seedSource({ name, operation }: NamedOperation): Promise<RequestSource> {
  // The operation before may have been the one that pauses.
  await resumeClaims(api.database);
  const seeded = await seedUser(api.database);
  const isAdmin = OPERATIONS[name]?.access === "service";
  const service = await signServiceToken({ secret: TOKEN_SECRET, expiresInSeconds: 3_600 });
  // Longer than any number of requests takes.
  const user = await signDevelopmentToken({ secret: TOKEN_SECRET, userId: seeded.user_id, expiresInSeconds: 3_600 });
  const jobs = JOBS_FOR[operation.operationId ?? ""]?.(seeded) ?? seeded.job_ids;
  return {
    schemas: (reference) => resolveSchema(contract, reference),
    // The complete documents more often: they alone have text.
    ids: [...seeded.document_ids, ...seeded.job_ids, ...Array.from({ length: 4 }, () => seeded.complete_ids).flat()],
    // Of documents the complete alone: they have text, and everything is served of them.
    fittingIds: (parameter) => (parameter === "job_id" ? jobs : seeded.complete_ids),
    token: isAdmin ? service : user,
    badTokens: [isAdmin ? user : service, "a.b.c", `${user}x`, "x".repeat(9_000)],
  };
}
