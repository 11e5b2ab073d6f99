export { buildApi } from "./app.ts";
export { createServiceVerifier, type ServiceVerifier } from "./auth/service-verifier.ts";
export { signDevelopmentToken, signServiceToken, type DevelopmentToken } from "./auth/sign-development-token.ts";
export { createTokenVerifier, type Identity, type TokenVerifier } from "./auth/token-verifier.ts";
export { issuerOf, type TokenVerifierOptions } from "./auth/verify-signature.ts";
export { API_PREFIX } from "./contract/urls.ts";
export type { ApiDependencies } from "./dependencies.ts";
export { settingsFrom, type ApiSettings, type SearchSettings, type UploadLimits } from "./settings.ts";
