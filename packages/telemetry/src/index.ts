export * from "./open-tracing.ts";
export * from "./trace-id.ts";
export * from "./tracing.ts";
