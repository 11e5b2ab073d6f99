import { RESUMABLE_TOKEN_HEADER } from "@pipeline/storage";
import type { Access } from "./operation.ts";

const text = { type: "string" } as const;

/** What answers and requests share besides schemas. */
export const COMPONENTS = {
  headers: {
    "X-Correlation-Id": {
      description: "The request's id: the caller's own, or a new one. It is on the job, its events and in the log.",
      schema: text,
    },
    "WWW-Authenticate": { description: "`Bearer`.", schema: text },
    "Retry-After": { description: "Seconds after which the same request can succeed.", schema: { type: "integer" } },
    Location: { description: "Where what was made can be watched.", schema: text },
  },
  parameters: {
    CorrelationId: {
      name: "X-Correlation-Id",
      in: "header",
      required: false,
      description:
        "An id of the caller's own for this request, up to 128 letters, digits, dots, dashes and underscores. Any other is replaced.",
      schema: { type: "string" },
    },
    IdempotencyKey: {
      name: "Idempotency-Key",
      in: "header",
      required: false,
      description: "The same key with the same request has its effect once, and the same answer again.",
      schema: { type: "string" },
    },
    LastEventId: {
      name: "Last-Event-ID",
      in: "header",
      required: false,
      description: "The last event that was seen: the stream goes on behind it.",
      schema: { type: "string" },
    },
  },
};

type SecurityRequirement = Record<string, string[]>;

export const SECURITY: Readonly<Record<Access, SecurityRequirement[]>> = {
  user: [{ user: [] }],
  service: [{ service: [] }],
  link: [{ upload_link: [] }],
  resumable: [{ upload_token: [] }],
  signature: [{ callback_signature: [] }],
  public: [],
};

export function securitySchemesOf() {
  const bearer = { type: "http", scheme: "bearer", bearerFormat: "JWT" };
  return {
    user: {
      ...bearer,
      description: 'A Supabase token with `aud` and `role` "authenticated"; the user is `sub` alone.',
    },
    service: { ...bearer, description: 'The service key, or a token with `role` "service_role".' },
    upload_link: { type: "apiKey", in: "query", name: "token", description: "The token of a `signed_url`." },
    upload_token: { type: "apiKey", in: "header", name: RESUMABLE_TOKEN_HEADER, description: "`upload.token`." },
    callback_signature: { type: "apiKey", in: "header", name: "lc-signature", description: "`t=…,v1=…`." },
  };
}
