export * from "./adapters.ts";
