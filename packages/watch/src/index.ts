export * from "./alert-message.ts";
export * from "./alert-rules.ts";
export * from "./compare-instances.ts";
export * from "./create-watch.ts";
export type { LatencyWindow } from "./latency-window.ts";
export * from "./show-alerts.ts";
