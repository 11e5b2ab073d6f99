import type { Database, ServiceName } from "@pipeline/db";
import {
  addDatabaseMetrics,
  type CallMetrics,
  createCallMetrics,
  createRegistry,
  type Registry,
} from "@pipeline/metrics";
import type { Environment, Logger } from "@pipeline/runtime";
import { openTracing, type Tracing } from "@pipeline/telemetry";
import { createWatch, type Watch } from "@pipeline/watch";
import { describeAgreement } from "./agreement.ts";

/** What lets others see how this process is doing. */
export interface Monitoring {
  registry: Registry;
  calls: CallMetrics;
  /** Not started yet. */
  watch: Watch;
  /** To be closed last, with what it has not sent yet. */
  tracing: Tracing;
}

export interface MonitoringOptions {
  environment: Environment;
  database: Database;
  service: ServiceName;
  /** Version and commit of what runs. */
  build: string;
  embedModel: string;
  log: Logger;
}

export async function createMonitoring(options: MonitoringOptions): Promise<Monitoring> {
  const { environment, database, service, build, embedModel, log } = options;
  const schema = database.schemaName;
  const registry = createRegistry({ service, environment: environment.ENVIRONMENT, schema, build });
  const budgetUsdPerDay = environment.BUDGET_USD_PER_DAY;
  addDatabaseMetrics(registry, database, { budgetUsdPerDay });
  const watch = createWatch({
    database,
    log,
    service,
    build,
    agreement: await describeAgreement(environment, embedModel),
    budgetUsdPerDay,
    webhookUrl: environment.ALERT_WEBHOOK_URL,
  });
  const tracing = await openTracing({
    endpoint: environment.OTEL_EXPORTER_OTLP_ENDPOINT,
    headers: environment.OTEL_EXPORTER_OTLP_HEADERS,
    serviceName: environment.OTEL_SERVICE_NAME ?? `upload-pipeline-${service}`,
    build,
    environment: environment.ENVIRONMENT,
    log,
  });
  return { registry, calls: createCallMetrics(registry, tracing), watch, tracing };
}
