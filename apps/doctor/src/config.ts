import { parseEnvironment, type Environment } from "@pipeline/runtime";

/** Like `migrate`, the doctor needs a database server and nothing else. Throws ConfigError with every fault. */
export function loadDoctorConfig(): Environment {
  return parseEnvironment(process.env, "migrate");
}
