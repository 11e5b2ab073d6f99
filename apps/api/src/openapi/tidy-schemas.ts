import type { ContractDocument } from "./contract-document.ts";

/** What zod adds to every integer and says nothing. */
const SAFE_BOUNDS: Readonly<Record<string, number>> = {
  minimum: Number.MIN_SAFE_INTEGER,
  maximum: Number.MAX_SAFE_INTEGER,
};

/** Keywords that say nothing are left out, wherever they stand. */
export function tidySchemas(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidySchemas);
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(
    ([key, child]) => SAFE_BOUNDS[key] !== child && !(key === "propertyNames" && isAnyString(child)),
  );
  return Object.fromEntries(kept.map(([key, child]) => [key, tidySchemas(child)]));
}

function isAnyString(schema: unknown): boolean {
  return JSON.stringify(schema) === '{"type":"string"}';
}

const SCHEMAS = "#/components/schemas/";

/** The generator writes each named schema twice, once for requests and once for answers. */
export function dropUnusedSchemas(document: ContractDocument): ContractDocument {
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    if (value === null || typeof value !== "object") return;
    for (const [key, child] of Object.entries(value)) {
      if (key === "$ref" && typeof child === "string" && child.startsWith(SCHEMAS)) {
        const name = child.slice(SCHEMAS.length);
        if (used.has(name)) continue;
        used.add(name);
        visit(document.components.schemas[name]);
      } else visit(child);
    }
  };
  visit(document.paths);
  const schemas = Object.fromEntries(Object.entries(document.components.schemas).filter(([name]) => used.has(name)));
  return { ...document, components: { ...document.components, schemas } };
}
