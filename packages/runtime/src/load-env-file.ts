import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

// Preloaded by the commands of package.json, so that tests, which start the same files without it, see no developer's .env.
const path = join(import.meta.dirname, "../../../.env");
if (existsSync(path)) process.loadEnvFile(path);
