export * from "./complete-documents.ts";
export * from "./explain.ts";
export * from "./factories.ts";
export * from "./raw-jobs.ts";
export * from "./test-database.ts";
