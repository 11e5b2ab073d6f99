import { randomUUID } from "node:crypto";
import { createClient } from "@supabase/supabase-js";
import { describe, expect } from "vitest";
import { describeObjectStore, expireWith, type ObjectStoreHarness } from "./object-store.suite.ts";
import { putToSupabase } from "./supabase-emulator.fixture.ts";
import { createSupabaseStore } from "./supabase-store.ts";
import { type LiveSupabase, liveSupabase } from "./testing/config.ts";

const live = liveSupabase();
const jwtSecret = live?.jwtSecret;

describe.skipIf(live === undefined)("with TEST_SUPABASE_URL and TEST_SUPABASE_SERVICE_ROLE_KEY", () => {
  describeObjectStore("the Supabase store on a real project", {
    refusesOtherLengths: false,
    acceptsParallelUploads: true,
    acceptsTypeParameters: false,
    answersPreflight: true,
    ...(jwtSecret === undefined ? {} : { expire: (upload) => expireWith(jwtSecret, upload) }),
    open: () => openLive(live),
  });
});

/** In a bucket of its own, which is gone with everything in it when the suite is over. */
async function openLive(project: LiveSupabase | undefined): Promise<ObjectStoreHarness> {
  if (project === undefined) throw new Error("No project is named.");
  const { url, serviceRoleKey } = project;
  const bucket = `contract-${randomUUID()}`;
  const store = createSupabaseStore({ url, serviceRoleKey, bucket });
  await store.prepare();
  const keys = new Set<string>();
  return {
    store: {
      ...store,
      signUpload: (input) => {
        keys.add(input.key);
        return store.signUpload(input);
      },
    },
    put: putToSupabase,
    close: async () => {
      await store.remove([...keys]);
      const { error } = await createClient(url, serviceRoleKey).storage.deleteBucket(bucket);
      expect(error).toBeNull();
    },
  };
}
