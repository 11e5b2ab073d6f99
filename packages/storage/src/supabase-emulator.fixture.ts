import { startSupabase, type SupabaseEmulator, type SupabaseOptions } from "@pipeline/mocks/supabase";
import { z } from "zod";
import type { SignedUpload } from "./object-store.ts";
import { putWithFetch, type UploadBody } from "./object-store.suite.ts";
import { createSupabaseStore, type SupabaseStore, type SupabaseStoreOptions } from "./supabase-store.ts";

export interface SupabaseBench {
  emulator: SupabaseEmulator;
  store: SupabaseStore;
  close(): Promise<void>;
}

/** A prepared store on an emulator of its own. */
export async function openSupabaseBench(
  options: { emulator?: SupabaseOptions; store?: Partial<SupabaseStoreOptions> } = {},
): Promise<SupabaseBench> {
  const emulator = await startSupabase(options.emulator);
  const { url, serviceRoleKey } = emulator;
  const store = createSupabaseStore({ url, serviceRoleKey, ...options.store });
  await store.prepare();
  return { emulator, store, close: () => emulator.close() };
}

const refusal = z.object({ statusCode: z.string() });

/** The PUT of a frontend; over HTTP every refusal of Supabase is a 400, and its body says which. */
export async function putToSupabase(
  upload: SignedUpload,
  body: UploadBody,
  headers: Record<string, string>,
): Promise<{ status: number }> {
  const answer = await putWithFetch(upload, body, headers);
  const told = await answer.json();
  return { status: answer.ok ? answer.status : Number(refusal.parse(told).statusCode) };
}
