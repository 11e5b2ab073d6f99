import { AppError, currentCorrelationId } from "@pipeline/runtime";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";

export type StorageClient = SupabaseClient["storage"];

/** Errors: invalid `storage_configuration_invalid`. */
export function createStorageClient(project: {
  url: string;
  serviceRoleKey: string;
  timeoutMs: number;
}): StorageClient {
  const { url, serviceRoleKey, timeoutMs } = project;
  // A key with a line break makes every request fail, with an error that quotes the key.
  if (!/^[\x21-\x7e]+$/u.test(serviceRoleKey)) {
    throw invalidConfiguration("The service role key is empty or holds characters that no header may hold.");
  }
  if (!URL.canParse(url)) throw invalidConfiguration("The address of Supabase is not a URL.");
  const client = createClient(url, serviceRoleKey, {
    // Nobody signs in here: the key is the identity, and nothing is to be kept or refreshed in the background.
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { fetch: fetchWithin(timeoutMs) },
  });
  return client.storage;
}

/**
 * The limit covers the whole exchange, body included. Whoever passes a signal sets the limits: a download may take as
 * long as bytes keep coming.
 */
function fetchWithin(timeoutMs: number): typeof fetch {
  return (input, init) =>
    fetch(input, {
      ...init,
      headers: withCorrelation(init?.headers),
      signal: init?.signal ?? AbortSignal.timeout(timeoutMs),
      // A redirect would carry the key, or a customer's file, to a host that nobody configured.
      redirect: "error",
    });
}

function withCorrelation(given: RequestInit["headers"]): Headers {
  const headers = new Headers(given);
  const correlationId = currentCorrelationId();
  if (correlationId !== undefined) headers.set("x-correlation-id", correlationId);
  return headers;
}

function invalidConfiguration(message: string): AppError {
  return new AppError({ kind: "invalid", code: "storage_configuration_invalid", message });
}
