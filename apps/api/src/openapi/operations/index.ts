import type { Operations } from "../operation.ts";
import { adminOperations } from "./admin.ts";
import { documentOperations } from "./documents.ts";
import { healthOperations } from "./health.ts";
import { jobOperations } from "./jobs.ts";
import { searchOperations } from "./search.ts";
import { storageOperations } from "./storage.ts";
import { uploadOperations } from "./uploads.ts";

/** What is said of every route; a test finds those that are missing here, and those that are gone. */
export const OPERATIONS: Operations = {
  ...uploadOperations,
  ...jobOperations,
  ...documentOperations,
  ...searchOperations,
  ...storageOperations,
  ...healthOperations,
  ...adminOperations,
};
