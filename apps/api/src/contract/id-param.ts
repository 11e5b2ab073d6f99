import { z } from "zod";

const NO_ID = "00000000-0000-0000-0000-000000000000";

/**
 * An id in a path. What is no UUID becomes one that no row has, so that it ends in the very same not_found, on the
 * very same way, as an unknown id and somebody else's.
 */
export const idParam = z.guid().catch(NO_ID);
