import { listOtherPipelines } from "@pipeline/db";
import { describeDatabase, type SectionChecks } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import { needHealth } from "./service-health.ts";

export const isolation: SectionChecks = async (deployment, check) => {
  const { settings, known, database } = deployment;
  await check("It is the environment that was meant", async () => {
    const { environment } = needHealth(known.health);
    if (settings.environment === undefined)
      throw new Skipped(`it says ${environment}; needs what was meant (--environment)`);
    if (environment === settings.environment) return environment;
    throw new Fault(`it says ${environment}, ${settings.environment} was meant`);
  });
  await check("Staging keeps to a schema of its own", async () => {
    const { environment } = needHealth(known.health);
    if (database === undefined) throw new Skipped(`needs ${describeDatabase(deployment)}`);
    const { schemaName } = database;
    if (environment === "staging" && schemaName === "upload_pipeline")
      throw new Fault("staging writes into production's schema");
    if (environment === "production" && /staging|test|dev/.test(schemaName))
      throw new Fault(`production writes into ${schemaName}`);
    return schemaName;
  });
  await check("Other pipelines of the database see nothing of this one", async () => {
    if (database === undefined) throw new Skipped(`needs ${describeDatabase(deployment)}`);
    const run = known.document;
    if (run === undefined) throw new Skipped("no document could be uploaded");
    const others = await listOtherPipelines(database, run.document_id);
    const leaking = others.filter(({ has_document }) => has_document);
    if (leaking.length > 0)
      throw new Fault(`the document is in ${leaking.map(({ schema_name }) => schema_name).join(", ")} as well`);
    return others.length === 0 ? "there are none" : others.map(({ schema_name }) => schema_name).join(", ");
  });
};
