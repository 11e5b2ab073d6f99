import type { Agreement, InstanceRow } from "@pipeline/db";

/** Something that all processes should have alike and do not. */
export interface Difference {
  field: keyof Agreement;
  /** For people: which processes have what. */
  detail: string;
}

const FIELDS: readonly { field: keyof Agreement; name: string }[] = [
  { field: "environment", name: "ENVIRONMENT" },
  { field: "schema_version", name: "the schema version that their code needs" },
  { field: "storage", name: "where files are kept" },
  { field: "embed_model", name: "the embedding model" },
];

/** Whether processes that work on the same rows fit together; empty where they do. */
export function findDifferences(instances: readonly InstanceRow[]): Difference[] {
  return FIELDS.flatMap(({ field, name }) => {
    const byValue = Map.groupBy(instances, (instance) => String(instance[field]));
    if (byValue.size < 2) return [];
    const sides = [...byValue].map(([value, those]) => `${value} (${[...new Set(those.map(nameOf))].join(", ")})`);
    return [{ field, detail: `Processes differ in ${name}: ${sides.join(" and ")}.` }];
  });
}

function nameOf({ service, hostname }: InstanceRow): string {
  return `${service} on ${hostname}`;
}
