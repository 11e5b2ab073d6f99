import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { startTraceReceiver } from "@pipeline/telemetry/testing";
import { expect, onTestFinished, test } from "vitest";
import { createClient } from "./client.ts";
import { ingestFile } from "./ingest.ts";
import { createProgressLines } from "./progress-lines.ts";
import { ROOT } from "./spawn.fixture.ts";
import { startStack } from "./stack.ts";

test(
  "the upload of a document and its walk through the worker are one trace, with what storage and embedder took",
  { timeout: 180_000 },
  async () => {
    const receiver = await startTraceReceiver();
    const directory = await mkdtemp(join(tmpdir(), "tracing-test-"));
    onTestFinished(async () => {
      await receiver.close();
      await rm(directory, { recursive: true });
    });
    const variables = {
      DATA_DIR: directory,
      OTEL_EXPORTER_OTLP_ENDPOINT: `${receiver.url}/`,
      OTEL_SERVICE_NAME: "local",
    };
    const log = createLogger({ level: "silent", service: "test" });
    const stack = await startStack({ environment: parseEnvironment(variables, "local"), log, port: 0 });
    const client = createClient({ url: stack.url, token: await stack.signToken(randomUUID()) });
    const file = join(ROOT, "samples/renewal-letter.md");
    expect(await ingestFile(client, file, createProgressLines([], { write: () => undefined }))).toMatchObject({
      complete: true,
    });
    await stack.stop();

    const upload = receiver.spans.find((span) => span.name === "POST /api/upload-pipeline/upload");
    const names = receiver.spans.filter((span) => span.traceId === upload?.traceId).map((span) => span.name);
    const walk = ["verify", "parse", "validate", "plan_chunks", "chunk", "plan_embedding", "start_embedding", "embed"];
    const stages = [...walk, "publish"].map((stage) => `stage ${stage}`);
    const calls = ["disk sign_upload", "disk download", "local embed"];
    expect(names).toEqual(expect.arrayContaining([upload?.name, ...calls, "claim", ...stages]));
    expect(new Set(receiver.spans.map((span) => span.resource["service.name"]))).toEqual(new Set(["local"]));
    expect(receiver.bodies.join("")).not.toMatch(/renewal|instalment|eyJ|token/i);
  },
);
