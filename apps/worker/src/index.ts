export { workerOptions } from "./config.ts";
export { createParser } from "./create-parser.ts";
export type { WorkerDependencies, WorkerOptions } from "./options.ts";
export { createWorker, type Worker } from "./worker.ts";
