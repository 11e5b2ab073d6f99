import { z } from "zod";

const NO_ID = "00000000-0000-0000-0000-000000000000";

/** An id as Postgres writes it, whichever way it came: ids are compared as text too, and locks are taken by it. */
export const idField = z.guid().toLowerCase();

/**
 * An id in a path. What is no UUID becomes one that no row has, so that it ends in the very same not_found, on the
 * very same way, as an unknown id and somebody else's.
 */
export const idParam = idField.catch(NO_ID);
