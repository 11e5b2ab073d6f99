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
import { opening } from "./plugins/opening.ts";
import { pressure } from "./plugins/pressure.ts";
import { privateAnswers } from "./plugins/private-answers.ts";
import { problems } from "./plugins/problems.ts";
import { addressLimit, userLimit } from "./plugins/request-limits.ts";
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
  const { database, storage, log, settings, verifyToken, verifyService, isOpen = () => true } = dependencies;
  const app = createServer(settings, { receiveUploads: "receiveUpload" in storage });
  const counter = createRequestCounter(database, { onError: (err) => log.warn({ err }, "requests not counted") });
  const limiting = { counter, limits: settings.requestLimits };
  app.addHook("onClose", () => counter.close());
  const checkHealth = createHealthChecks(dependencies, settings.probeTimeoutMs);

  await app.register(requestLog, { log });
  await app.register(correlation);
  await app.register(problems);
  await app.register(browsers, { corsOrigins: settings.corsOrigins });
  await app.register(pressure, { maxLagMs: settings.maxLagMs });
  await app.register(opening, { isOpen });
  await app.register(addressLimit, limiting);
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
      await api.register(userLimit, limiting);
      await api.register(idempotency, dependencies);
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
