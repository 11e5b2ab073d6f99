import { type Exchange, header } from "./exchange.ts";
import { verifyCaller } from "./project-keys.ts";
import { refuse, StorageRefusal } from "./refusals.ts";

const MAY_DO_ALL = "service_role";

/** True for the service role. There are no row-level policies here, so everybody else may see and do nothing. */
export async function isService(exchange: Exchange): Promise<boolean> {
  return (await callerRole(exchange)) === MAY_DO_ALL;
}

/** As `isService`, for the routes that take a broken token for no token at all. */
export async function isServiceOrAnybody(exchange: Exchange): Promise<boolean> {
  try {
    return await isService(exchange);
  } catch (error) {
    if (error instanceof StorageRefusal) return false;
    throw error;
  }
}

/** For writes, which say that they are refused; reads say that there is nothing. */
export async function requireService(exchange: Exchange): Promise<void> {
  if (!(await isService(exchange))) throw refuse.accessDenied("new row violates row-level security policy");
}

function callerRole(exchange: Exchange): Promise<string> {
  return verifyCaller(exchange.project.keys, {
    authorization: header(exchange, "authorization"),
    apikey: header(exchange, "apikey"),
  });
}
