import { describeObjectStore, expireWith } from "./object-store.suite.ts";
import { openSupabaseBench, putToSupabase } from "./supabase-emulator.fixture.ts";

const JWT_SECRET = "a secret for the tests, long enough for HS256";

describeObjectStore("the Supabase store", {
  refusesOtherLengths: false,
  acceptsParallelUploads: true,
  acceptsTypeParameters: false,
  answersPreflight: true,
  expire: (upload) => expireWith(JWT_SECRET, upload),
  open: async () => {
    const bench = await openSupabaseBench({ emulator: { jwtSecret: JWT_SECRET } });
    return { store: bench.store, put: putToSupabase, close: () => bench.close() };
  },
});
