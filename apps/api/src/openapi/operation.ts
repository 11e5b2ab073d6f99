import type { ProblemCode } from "../problems/codes.ts";

export const TAGS = {
  uploads: "Promise a file, put it into storage, and say that it is there.",
  jobs: "Follow a document on its way to `complete`, and act on it.",
  documents: "What was uploaded, and what came of it.",
  search: "Passages nearest to a question, with where they stand.",
  storage: "The receiving end of upload links where the API keeps the files itself; elsewhere Supabase Storage has it.",
  callbacks: "What parsing providers call.",
  admin: "For operators, with a token of the service role. An `Idempotency-Key` is ignored here.",
  health: "Whether the system works.",
  contract: "This description.",
} as const;

/** Who may call: what the request has to bring. */
export type Access = "user" | "service" | "link" | "resumable" | "signature" | "public";

export interface Answer {
  description: string;
  example?: unknown;
  /** The answer's own headers; those of every answer go without saying. */
  headers?: readonly AnswerHeader[];
}

export type AnswerHeader = "Location";

/** What a client should know of a route besides its schemas. */
export interface Operation {
  /** The name that generated clients use. */
  id: string;
  tag: keyof typeof TAGS;
  access: Access;
  summary: string;
  description?: string;
  /** Codes besides those that any call of its kind can answer; a status that the route does not declare is at fault. */
  codes?: readonly ProblemCode[];
  /** An example of the request's body. */
  body?: unknown;
  /** Header parameters, by their names under `components.parameters`. */
  headers?: readonly ("IdempotencyKey" | "LastEventId")[];
  /** By status. One that the route's schema lacks has no body. */
  answers: Readonly<Record<number, Answer>>;
}

/** Operations by "METHOD /path", with path parameters in braces. */
export type Operations = Readonly<Record<string, Operation>>;
