import { existsSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { COMPILE_CACHE } from "./compile-cache.ts";

// Preloaded by the commands of package.json, so that tests, which start the same files without it, see no developer's .env.
const path = join(import.meta.dirname, "../../../.env");
if (existsSync(path)) process.loadEnvFile(path);
enableCompileCache(COMPILE_CACHE);
