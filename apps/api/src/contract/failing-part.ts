import { z } from "zod";
import { HEALTH_PARTS } from "../health/health-checks.ts";

/** What does not work, and why: the code for programs, the detail for operators. */
export const failingPart = z.object({ part: z.enum(HEALTH_PARTS), code: z.string(), detail: z.string() });
