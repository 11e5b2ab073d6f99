import { expect, it } from "vitest";
import { loadMigrateConfig } from "./config.ts";

const API = "postgresql://upload_pipeline_api:of-nobody@127.0.0.1:5432/pipeline";
const OWNER = "postgresql://postgres:of-nobody@127.0.0.1:5432/pipeline";

it("migrates as the owner where one is named, whatever the service connects as", () => {
  const parts = { SUPABASE_DB_HOST: "db.example.com", SUPABASE_DB_PASSWORD: "of-nobody-either" };
  for (const service of [{ DATABASE_URL: API }, parts, {}]) {
    expect(loadMigrateConfig({ ...service, MIGRATE_DATABASE_URL: OWNER })).toMatchObject({ DATABASE_URL: OWNER });
  }
});

it("migrates with the service's own address where no owner is named", () => {
  for (const owner of [{}, { MIGRATE_DATABASE_URL: "" }]) {
    expect(loadMigrateConfig({ DATABASE_URL: API, ...owner })).toMatchObject({ DATABASE_URL: API });
  }
});
