export * from "./complete-documents.ts";
export * from "./explain.ts";
export * from "./factories.ts";
export * from "./failpoint.ts";
export * from "./intercept-statements.ts";
export * from "./observe-job.ts";
export * from "./raw-jobs.ts";
export * from "./test-database.ts";
