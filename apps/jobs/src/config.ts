import { hostname, userInfo } from "node:os";
import { parseEnvironment, type Environment } from "@pipeline/runtime";

/** Like `migrate`, this needs a database server and nothing else. Throws ConfigError with every fault. */
export function loadJobsConfig(): Environment {
  return parseEnvironment(process.env, "migrate");
}

/** Who runs this process, and where, as far as the system knows. */
export function operatorName(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A container may run under a user id that has no name.
    return hostname();
  }
}
