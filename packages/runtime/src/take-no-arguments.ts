import { parseArgs } from "node:util";

/**
 * For a service, which the environment alone configures: `--help` prints `help` and exits with 0, any other argument is named
 * on standard error and exits with 1, so that a flag that does nothing is not taken for one that does.
 */
export function takeNoArguments(name: string, help: string): void {
  try {
    const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" } } });
    if (values.help !== true) return;
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
  process.stdout.write(
    `Usage: ${name}\n\n${help}\nThe environment configures it: .env.example has every variable, and a broken configuration is told whole.\n`,
  );
  process.exit(0);
}
