import { z } from "zod";
import { HEALTH_PARTS } from "../health/health-checks.ts";

/** What does not work, and the code of why. */
export const failingPart = z.object({ part: z.enum(HEALTH_PARTS), code: z.string() });
