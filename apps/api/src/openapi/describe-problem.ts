import { PROBLEM_CODES, type ProblemCode } from "../problems/codes.ts";
import { STATUS_CODES } from "node:http";
import { CORRELATION_ID } from "./examples.ts";

/** What any call that declares the status can answer. */
const GENERAL_CODES: Readonly<Record<number, readonly ProblemCode[]>> = {
  400: ["bad_request"],
  401: ["unauthorized"],
  404: ["route_not_found"],
  413: ["request_too_large"],
  415: ["unsupported_content_type"],
  422: ["invalid_request"],
  429: ["request_limit"],
  500: ["internal_error"],
  503: [
    "database_unavailable",
    "database_login_refused",
    "database_missing",
    "database_privilege_missing",
    "database_busy",
    "server_busy",
    "database_conflict",
    "auth_keys_unavailable",
  ],
};

export interface DescribedProblem {
  codes: readonly ProblemCode[];
  /** A line of Markdown for each. */
  meanings: string;
  example: Record<string, unknown>;
}

/** The codes that an operation can answer with a status: the operation's own first. */
export function describeProblem(
  status: number,
  operation: { own: readonly ProblemCode[]; readsJson: boolean },
): DescribedProblem {
  const own: readonly ProblemCode[] = operation.readsJson ? [...operation.own, "malformed_json"] : operation.own;
  const codes = [...own.filter((code) => PROBLEM_CODES[code].status === status), ...(GENERAL_CODES[status] ?? [])];
  const [code] = codes;
  return {
    codes,
    meanings: codes.map((each) => `- \`${each}\`: ${PROBLEM_CODES[each].meaning}`).join("\n"),
    example: {
      type: "about:blank",
      title: STATUS_CODES[status] ?? "Error",
      status,
      code,
      detail: sentence(code === undefined ? "" : PROBLEM_CODES[code].meaning),
      correlation_id: CORRELATION_ID,
    },
  };
}

function sentence(meaning: string): string {
  return `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`;
}
