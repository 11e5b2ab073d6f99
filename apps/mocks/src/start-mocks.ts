import { type LlamaParse, type LlamaParseOptions, startLlamaParse } from "./llamaparse/start-llamaparse.ts";
import { type OpenAi, type OpenAiOptions, startOpenAi } from "./openai/start-openai.ts";
import { startSupabase, type SupabaseEmulator, type SupabaseOptions } from "./supabase/start-supabase.ts";

export interface MocksOptions {
  llamaparse: LlamaParseOptions;
  openai: OpenAiOptions;
  supabase: SupabaseOptions;
}

export interface Mocks {
  llamaparse: LlamaParse;
  openai: OpenAi;
  supabase: SupabaseEmulator;
  /** What leads the services here. */
  variables: Record<string, string>;
  close(): Promise<void>;
}

/** Where the operators' guide has them. */
export const MOCK_PORTS = { llamaparse: 8001, openai: 8002, supabase: 8003 } as const;

/** Not the one of Supabase's own templates, which the services refuse; it protects nothing either. */
const JWT_SECRET = "signs-tokens-of-the-emulated-project-alone";

/** Emulators of every outside service: all or none. Throws `port_in_use` and `invalid_mock_options`. */
export async function startMocks(options: MocksOptions): Promise<Mocks> {
  const started: { close(): Promise<void> }[] = [];
  const keep = <Emulator extends { close(): Promise<void> }>(emulator: Emulator): Emulator => {
    started.push(emulator);
    return emulator;
  };
  const close = async (): Promise<void> => {
    await Promise.all(started.map((emulator) => emulator.close()));
  };
  try {
    const llamaparse = keep(await startLlamaParse(options.llamaparse));
    const openai = keep(await startOpenAi(options.openai));
    const supabase = keep(await startSupabase({ ...options.supabase, jwtSecret: JWT_SECRET }));
    return { llamaparse, openai, supabase, variables: variablesOf({ llamaparse, openai, supabase }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function variablesOf({ llamaparse, openai, supabase }: Pick<Mocks, "llamaparse" | "openai" | "supabase">) {
  return {
    LLAMAPARSE_BASE_URL: llamaparse.url,
    LLAMAPARSE_API_KEY: "llx-local",
    OPENAI_BASE_URL: openai.baseUrl,
    OPENAI_API_KEY: "sk-local",
    SUPABASE_URL: supabase.url,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
    SUPABASE_SERVICE_ROLE_KEY: supabase.serviceRoleKey,
    SUPABASE_ANON_KEY: supabase.anonKey,
  };
}
