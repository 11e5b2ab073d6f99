import { LIMITS } from "@pipeline/runtime";
import { fastify, type FastifyInstance } from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { API_PREFIX } from "./contract/urls.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { createHealthChecks } from "./health/health-checks.ts";
import { authentication } from "./plugins/authentication.ts";
import { browsers } from "./plugins/browsers.ts";
import { contract } from "./plugins/contract.ts";
import { correlation, correlationIdOf, CORRELATION_HEADER } from "./plugins/correlation.ts";
import { privateAnswers } from "./plugins/private-answers.ts";
import { answerWithProblem, problems } from "./plugins/problems.ts";
import { requestLog } from "./plugins/request-log.ts";
import { serviceAuthentication } from "./plugins/service-authentication.ts";
import { confirmUploadRoute } from "./routes/confirm-upload.ts";
import { createUploadBatch } from "./routes/create-upload-batch.ts";
import { createUpload } from "./routes/create-upload.ts";
import { getContract } from "./routes/get-contract.ts";
import { getDocumentRoute } from "./routes/get-document.ts";
import { getHealthLive } from "./routes/get-health-live.ts";
import { getHealthReady } from "./routes/get-health-ready.ts";
import { getHealth } from "./routes/get-health.ts";
import { getJobRoute } from "./routes/get-job.ts";
import { getUploadLimits } from "./routes/get-upload-limits.ts";
import { listDocumentsRoute } from "./routes/list-documents.ts";
import { listJobEvents } from "./routes/list-job-events.ts";
import { receiveParserCallback } from "./routes/receive-parser-callback.ts";
import { receiveResumable } from "./routes/receive-resumable.ts";
import { receiveUpload } from "./routes/receive-upload.ts";
import { searchDocuments } from "./routes/search-documents.ts";

/** The HTTP API, not listening yet. Closing it finishes open requests; its dependencies stay open. */
export async function buildApi(dependencies: ApiDependencies): Promise<FastifyInstance> {
  const { storage, log, settings, verifyToken, verifyService } = dependencies;
  const app = createServer("receiveUpload" in storage ? UPLOAD_TIMEOUT_MS : REQUEST_TIMEOUT_MS);
  const checkHealth = createHealthChecks(dependencies, settings.probeTimeoutMs);

  await app.register(requestLog, { log });
  await app.register(correlation);
  await app.register(problems);
  await app.register(browsers, { corsOrigins: settings.corsOrigins });
  await app.register(contract);

  await app.register(getContract);
  await app.register(getHealth, { checkHealth, settings });
  await app.register(getHealthLive);
  await app.register(getHealthReady, { checkHealth });
  if ("receiveUpload" in storage) {
    await app.register(receiveUpload, { store: storage });
    await app.register(receiveResumable, { store: storage });
  }

  await app.register(receiveParserCallback, { ...dependencies, prefix: API_PREFIX });
  await app.register(
    async (api) => {
      await api.register(privateAnswers);
      await api.register(authentication, { verifyToken });
      await api.register(createUpload, dependencies);
      await api.register(createUploadBatch, dependencies);
      await api.register(getUploadLimits, dependencies);
      await api.register(confirmUploadRoute, dependencies);
      await api.register(listDocumentsRoute, dependencies);
      await api.register(getDocumentRoute, dependencies);
      await api.register(getJobRoute, dependencies);
      await api.register(listJobEvents, dependencies);
      await api.register(searchDocuments, dependencies);
    },
    { prefix: API_PREFIX },
  );
  await app.register(
    async (admin) => {
      await admin.register(privateAnswers);
      await admin.register(serviceAuthentication, { verifyService, verifyToken });
    },
    { prefix: `${API_PREFIX}/admin` },
  );
  return app;
}

/** From the first byte of a request to its last: 25 MiB at 256 kbit/s take 14 minutes. */
const UPLOAD_TIMEOUT_MS = 900_000;
/** Without uploads a request has 64 KiB at most. */
const REQUEST_TIMEOUT_MS = 60_000;
/** A connection on which nothing moves for so long is dropped, an upload that stalls included. */
const IDLE_TIMEOUT_MS = 60_000;

function createServer(requestTimeout: number): FastifyInstance {
  const app = fastify({
    // Fastify's own lines hold URLs, and those hold upload tokens: the request log writes instead.
    logger: false,
    genReqId: correlationIdOf,
    bodyLimit: LIMITS.maxRequestBytes,
    requestTimeout,
    connectionTimeout: IDLE_TIMEOUT_MS,
    // Whoever reached us before the listener closed gets an answer, with `connection: close`.
    return503OnClosing: false,
    trustProxy: false,
    // A path of the disk store has up to four UUIDs.
    routerOptions: { maxParamLength: 160 },
    frameworkErrors: (error, request, reply) => {
      reply.header(CORRELATION_HEADER, request.id);
      answerWithProblem(error, request, reply);
    },
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  return app;
}
