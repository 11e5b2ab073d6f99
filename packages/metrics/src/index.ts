export * from "./api-metrics.ts";
export * from "./call-metrics.ts";
export * from "./database-metrics.ts";
export * from "./measure-call.ts";
export * from "./metrics-token.ts";
export * from "./registry.ts";
export * from "./worker-metrics.ts";
