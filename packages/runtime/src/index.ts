export * from "./environment.ts";
export * from "./errors.ts";
export * from "./explain-failure.ts";
export * from "./formats.ts";
export * from "./ids.ts";
export * from "./limits.ts";
export * from "./log.ts";
export * from "./parse-environment.ts";
