/** An embedding model as far as requests can tell. */
export interface Model {
  id: string;
  created: number;
  dimensions: number;
  /** Whether a request may ask for fewer dimensions. */
  isShortenable: boolean;
}

export const MODELS: readonly Model[] = [
  { id: "text-embedding-3-small", created: 1_705_948_997, dimensions: 1536, isShortenable: true },
  { id: "text-embedding-3-large", created: 1_705_953_180, dimensions: 3072, isShortenable: true },
  { id: "text-embedding-ada-002", created: 1_671_217_299, dimensions: 1536, isShortenable: false },
];

export function findModel(id: string): Model | undefined {
  return MODELS.find((model) => model.id === id);
}

export function describeModel({ id, created }: Model): Record<string, unknown> {
  return { id, object: "model", created, owned_by: "system" };
}
