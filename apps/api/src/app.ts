import { createApiMetrics, createSilentRegistry, type Registry } from "@pipeline/metrics";
import { createUploadRegistrar } from "@pipeline/db";
import { NO_TRACING } from "@pipeline/telemetry";
import type { FastifyInstance } from "fastify";
import { API_PREFIX } from "./contract/urls.ts";
import { createServer } from "./create-server.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { createHealthChecks } from "./health/health-checks.ts";
import { createRequestCounter } from "./limits/request-counter.ts";
import { authentication } from "./plugins/authentication.ts";
import { browsers } from "./plugins/browsers.ts";
import { contract } from "./plugins/contract.ts";
import { correlation } from "./plugins/correlation.ts";
import { idempotency } from "./plugins/idempotency.ts";
import { jsonBodies } from "./plugins/json-bodies.ts";
import { opening } from "./plugins/opening.ts";
import { pressure } from "./plugins/pressure.ts";
import { privateAnswers } from "./plugins/private-answers.ts";
import { problems } from "./plugins/problems.ts";
import { addressLimit, type RequestLimiting, userLimit } from "./plugins/request-limits.ts";
import { requestLog } from "./plugins/request-log.ts";
import { requestMetrics } from "./plugins/request-metrics.ts";
import { requestTrace } from "./plugins/request-trace.ts";
import { serviceAuthentication } from "./plugins/service-authentication.ts";
import { getAdminJob } from "./routes/admin/get-job.ts";
import { getAdminQueue } from "./routes/admin/get-queue.ts";
import { getAdminSpending } from "./routes/admin/get-spending.ts";
import { cancelAdminJob } from "./routes/admin/cancel-job.ts";
import { listAdminAlerts } from "./routes/admin/list-alerts.ts";
import { listAdminDeadLetters } from "./routes/admin/list-dead-letters.ts";
import { listAdminJobs } from "./routes/admin/list-jobs.ts";
import { listAdminWorkers } from "./routes/admin/list-workers.ts";
import { pauseAdminClaims } from "./routes/admin/pause-claims.ts";
import { redriveAdminJobs } from "./routes/admin/redrive-jobs.ts";
import { resumeAdminClaims } from "./routes/admin/resume-claims.ts";
import { retryAdminJob } from "./routes/admin/retry-job.ts";
import { cancelJobRoute } from "./routes/cancel-job.ts";
import { confirmUploadRoute } from "./routes/confirm-upload.ts";
import { createUploadBatch } from "./routes/create-upload-batch.ts";
import { createUpload } from "./routes/create-upload.ts";
import { getContract } from "./routes/get-contract.ts";
import { deleteDocumentRoute } from "./routes/delete-document.ts";
import { getDocumentContent } from "./routes/get-document-content.ts";
import { getDocumentStatus } from "./routes/get-document-status.ts";
import { getDocumentRoute } from "./routes/get-document.ts";
import { getHealthLive } from "./routes/get-health-live.ts";
import { getHealthReady } from "./routes/get-health-ready.ts";
import { getHealth } from "./routes/get-health.ts";
import { getJobRoute } from "./routes/get-job.ts";
import { getMetrics } from "./routes/get-metrics.ts";
import { getUploadLimits } from "./routes/get-upload-limits.ts";
import { listDocumentChunks } from "./routes/list-document-chunks.ts";
import { listDocumentsRoute } from "./routes/list-documents.ts";
import { listJobEvents } from "./routes/list-job-events.ts";
import { listJobsRoute } from "./routes/list-jobs.ts";
import { receiveParserCallback } from "./routes/receive-parser-callback.ts";
import { receiveResumable } from "./routes/receive-resumable.ts";
import { receiveUpload } from "./routes/receive-upload.ts";
import { reprocessDocumentRoute } from "./routes/reprocess-document.ts";
import { retryJobRoute } from "./routes/retry-job.ts";
import { searchDocuments } from "./routes/search-documents.ts";
import { serveDownload } from "./routes/serve-download.ts";
import { signDocumentDownload } from "./routes/sign-document-download.ts";
import { streamJob } from "./routes/stream-job.ts";

/** The HTTP API, not listening yet. Closing it finishes open requests; its dependencies stay open. */
export async function buildApi(dependencies: ApiDependencies): Promise<FastifyInstance> {
  const { database, storage, log, settings } = dependencies;
  const app = createServer(settings, { receiveUploads: "receiveUpload" in storage });
  const counter = createRequestCounter(database, { onError: (err) => log.warn({ err }, "requests not counted") });
  app.addHook("onClose", () => counter.close());
  const parts: ApiParts = {
    dependencies,
    limiting: { counter, limits: settings.requestLimits },
    registry: dependencies.monitoring?.registry ?? createSilentRegistry(),
  };
  await addPlugins(app, parts);
  await addPublicRoutes(app, parts);
  await app.register((api) => addUserRoutes(api, parts), { prefix: API_PREFIX });
  await app.register((admin) => addAdminRoutes(admin, parts), { prefix: `${API_PREFIX}/admin` });
  return app;
}

interface ApiParts {
  dependencies: ApiDependencies;
  limiting: RequestLimiting;
  registry: Registry;
}

async function addPlugins(app: FastifyInstance, { dependencies, limiting, registry }: ApiParts): Promise<void> {
  const { log, settings, isOpen = () => true, monitoring, tracing = NO_TRACING } = dependencies;
  await app.register(requestLog, { log });
  await app.register(requestMetrics, { metrics: createApiMetrics(registry), traffic: monitoring?.watch.traffic });
  await app.register(requestTrace, { tracing });
  await app.register(correlation);
  await app.register(problems);
  await app.register(jsonBodies);
  await app.register(browsers, { corsOrigins: settings.corsOrigins });
  await app.register(pressure, { maxLagMs: settings.maxLagMs });
  await app.register(opening, { isOpen });
  await app.register(addressLimit, limiting);
  await app.register(contract);
}

/** What needs no user's token. */
async function addPublicRoutes(app: FastifyInstance, { dependencies, registry }: ApiParts): Promise<void> {
  const { storage, settings } = dependencies;
  const { probeTimeoutMs: timeoutMs, hasParserFallback } = settings;
  const checkHealth = createHealthChecks(dependencies, { timeoutMs, hasParserFallback });
  await app.register(getContract);
  await app.register(getHealth, { checkHealth, settings });
  await app.register(getHealthLive);
  await app.register(getHealthReady, { checkHealth });
  await app.register(getMetrics, { registry, access: settings.metricsAccess });
  if ("receiveUpload" in storage) {
    await app.register(receiveUpload, { store: storage });
    await app.register(receiveResumable, { store: storage });
    await app.register(serveDownload, { store: storage });
  }
  // Where no provider reads documents, nobody has anything to say here.
  if (dependencies.checkParser !== undefined) {
    await app.register(receiveParserCallback, { ...dependencies, prefix: API_PREFIX });
  }
}

async function addUserRoutes(api: FastifyInstance, { dependencies, limiting }: ApiParts): Promise<void> {
  const { verifyToken, database, settings } = dependencies;
  const uploading = { ...dependencies, registrar: createUploadRegistrar(database, settings.uploadAllowance) };
  await api.register(privateAnswers);
  await api.register(authentication, { verifyToken });
  await api.register(userLimit, limiting);
  await api.register(idempotency, dependencies);
  await api.register(createUpload, uploading);
  await api.register(createUploadBatch, uploading);
  await api.register(getUploadLimits, dependencies);
  await api.register(confirmUploadRoute, dependencies);
  await api.register(listDocumentsRoute, dependencies);
  await api.register(getDocumentRoute, dependencies);
  await api.register(getDocumentStatus, dependencies);
  await api.register(getDocumentContent, dependencies);
  await api.register(listDocumentChunks, dependencies);
  await api.register(signDocumentDownload, dependencies);
  await api.register(reprocessDocumentRoute, dependencies);
  await api.register(deleteDocumentRoute, dependencies);
  await api.register(listJobsRoute, dependencies);
  await api.register(getJobRoute, dependencies);
  await api.register(listJobEvents, dependencies);
  await api.register(streamJob, dependencies);
  await api.register(retryJobRoute, dependencies);
  await api.register(cancelJobRoute, dependencies);
  await api.register(searchDocuments, dependencies);
}

async function addAdminRoutes(admin: FastifyInstance, { dependencies }: ApiParts): Promise<void> {
  const { verifyService, verifyToken } = dependencies;
  await admin.register(privateAnswers);
  await admin.register(serviceAuthentication, { verifyService, verifyToken });
  await admin.register(getAdminQueue, dependencies);
  await admin.register(listAdminWorkers, dependencies);
  await admin.register(listAdminJobs, dependencies);
  await admin.register(getAdminJob, dependencies);
  await admin.register(retryAdminJob, dependencies);
  await admin.register(cancelAdminJob, dependencies);
  await admin.register(listAdminDeadLetters, dependencies);
  await admin.register(redriveAdminJobs, dependencies);
  await admin.register(pauseAdminClaims, dependencies);
  await admin.register(resumeAdminClaims, dependencies);
  await admin.register(getAdminSpending, dependencies);
  await admin.register(listAdminAlerts, dependencies);
}
