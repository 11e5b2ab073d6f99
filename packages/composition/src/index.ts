export * from "./adapters.ts";
export * from "./development-user.ts";
export * from "./llamaparse.ts";
