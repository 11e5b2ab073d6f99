import type { Stage } from "@pipeline/db";
import type { StageHandler } from "../stage-handler.ts";
import { chunk } from "./chunk.ts";
import { embed } from "./embed.ts";
import { parse } from "./parse.ts";
import { planChunks } from "./plan-chunks.ts";
import { planEmbedding } from "./plan-embedding.ts";
import { publish } from "./publish.ts";
import { startEmbedding } from "./start-embedding.ts";
import { validate } from "./validate.ts";
import { verify } from "./verify.ts";

/** The handler of every stage of the pipeline table; a stage without one does not compile. */
export const STAGE_HANDLERS: Readonly<Record<Stage, StageHandler>> = {
  verify,
  parse,
  validate,
  plan_chunks: planChunks,
  chunk,
  plan_embedding: planEmbedding,
  start_embedding: startEmbedding,
  embed,
  publish,
};
