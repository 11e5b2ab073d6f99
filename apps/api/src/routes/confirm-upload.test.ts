import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { listenForWork } from "@pipeline/db";
import { createUpload, readHistory } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { completeDocument, deadLetter } from "../testing/documents.ts";
import { openTestApi, problemOf, type Answer, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

function confirm(user: string, documentId: string): Promise<Answer> {
  return api.call({ method: "POST", path: `/documents/${documentId}/uploaded`, user });
}

describe("POST /documents/:id/uploaded", () => {
  it("makes the job claimable at once and wakes the workers", async () => {
    const heard = new EventEmitter();
    const stop = await listenForWork(api.database, { onWork: () => heard.emit("work"), onLost: () => undefined });
    // Listening itself wakes once; only what comes from here on counts.
    const woken = once(heard, "work");
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    const answer = await confirm(user, job.document_id);
    expect(answer.status).toBe(202);
    expect(answer.headers["location"]).toBe(`/api/upload-pipeline/jobs/${job.job_id}`);
    expect(answer.body).toMatchObject({ job_id: job.job_id, status: "uploaded", state: "queued", waiting_for: null });
    await woken;
    await stop();
    expect(await readHistory(api.database, job.job_id)).toEqual(["created:uploaded", "upload_confirmed:uploaded"]);
  });

  it("takes the call again, and with an empty JSON object, without a second event", async () => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    await confirm(user, job.document_id);
    const path = `/documents/${job.document_id}/uploaded`;
    const again = await api.call({ method: "POST", path, user, body: {} });
    expect(again.status).toBe(202);
    expect(await readHistory(api.database, job.job_id)).toEqual(["created:uploaded", "upload_confirmed:uploaded"]);
  });

  it("tells the request's correlation id to the history, and leaves the job its own", async () => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    const path = `/documents/${job.document_id}/uploaded`;
    const answer = await api.call({ method: "POST", path, user, headers: { "x-correlation-id": "confirming" } });
    expect(answer.body["correlation_id"]).toBe(job.correlation_id);
    const history = await api.call({ path: `/jobs/${job.job_id}/events`, user });
    expect(history.body["events"]).toMatchObject([
      { type: "created", correlation_id: job.correlation_id },
      { type: "upload_confirmed", correlation_id: "confirming" },
    ]);
  });

  it("answers with a job that is done as it is", async () => {
    const user = randomUUID();
    const { document_id, job_id } = await completeDocument(api.database, {
      user_id: user,
      passages: [{ text: "Text." }],
    });
    const answer = await confirm(user, document_id);
    expect(answer).toMatchObject({ status: 202, body: { job_id, status: "complete", state: "done" } });
  });

  it("is refused after a failure, and says what to do instead", async () => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    await deadLetter(api.database, job);
    expect(problemOf(await confirm(user, job.document_id))).toEqual({
      type: "about:blank",
      title: "Conflict",
      status: 409,
      code: "upload_not_expected",
      detail: "The document's last job has ended without success; ask for a new one with POST /upload.",
    });
  });

  it("does not tell a document of somebody else from one that never was, and leaves it alone", async () => {
    const { job } = await createUpload(api.database);
    const stranger = randomUUID();
    const answers = [
      await confirm(stranger, job.document_id),
      await confirm(stranger, randomUUID()),
      await confirm(stranger, "not-an-id"),
    ];
    for (const answer of answers) {
      expect(problemOf(answer)).toEqual({
        type: "about:blank",
        title: "Not Found",
        status: 404,
        code: "document_not_found",
        detail: "There is no such document.",
      });
    }
    expect(await readHistory(api.database, job.job_id)).toEqual(["created:uploaded"]);
  });
});
