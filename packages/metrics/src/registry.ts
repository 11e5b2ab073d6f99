import { collectDefaultMetrics, Gauge, Registry } from "@prometheus-io/client";

export type { Registry } from "@prometheus-io/client";

export interface RegistryLabels {
  service: string;
  environment: string;
  schema: string;
  build: string;
}

/** What a process tells about itself when it is asked for /metrics: from the start its memory, CPU and event loop. */
export function createRegistry(labels: RegistryLabels): Registry {
  const registry = new Registry();
  // On every series, so that rules and dashboards keep apart what one Prometheus scrapes of several deployments.
  registry.setDefaultLabels({ environment: labels.environment, schema: labels.schema });
  collectDefaultMetrics({ register: registry });
  const info = new Gauge({
    name: "pipeline_build_info",
    help: "Always 1; the labels say what runs.",
    labelNames: ["service", "environment", "schema", "build"],
    registers: [registry],
  });
  info.set({ ...labels }, 1);
  return registry;
}

/** For what nobody asks: the figures are kept, and shown nowhere. */
export function createSilentRegistry(): Registry {
  return new Registry();
}

/** The text that Prometheus reads, with its content type. */
export async function readRegistry(registry: Registry): Promise<{ contentType: string; text: string }> {
  return { contentType: registry.contentType, text: await registry.metrics() };
}
