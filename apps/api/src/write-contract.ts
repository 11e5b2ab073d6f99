import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import { buildContract } from "./openapi/build-contract.ts";
import { CONTRACT_FILE, printContract } from "./openapi/contract-file.ts";

await new Command("openapi")
  .description("Writes the API's contract, OpenAPI 3.1, as the routes have it now.")
  .argument("[file]", "where to", CONTRACT_FILE)
  .action(async (file: string) => {
    await writeFile(file, printContract(await buildContract()));
    process.stdout.write(`${file}\n`);
  })
  .parseAsync();
