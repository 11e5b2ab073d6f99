export * from "./adapters.ts";
export * from "./check-embedder.ts";
export * from "./check-parser.ts";
export * from "./development-user.ts";
export * from "./llamaparse.ts";
export * from "./self-test.ts";
export * from "./storage.ts";
