// Requests to the server. Every failure becomes a Problem with a sentence for people; nothing fails silently.
import { t } from "./i18n.js";

export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** Longest wait for an answer. Reasoning: reads answer in 50 ms; beyond 8 s a person has long pressed again. */
const PATIENCE_MS = 8000;

/** `headers` and `patience` (ms) for the few requests that need their own. */
export async function request(method, path, body, { headers = {}, patience = PATIENCE_MS } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    throw new Problem(0, "unreachable", error.name === "TimeoutError" ? t("problem.timeout") : t("problem.unreachable"));
  }
  const kind = response.headers.get("content-type") ?? "";
  const answer = kind.includes("json") ? await response.json().catch(() => null) : null;
  if (!response.ok) {
    const detail = answer?.detail || answer?.title || t("problem.status", { status: response.status });
    const problem = new Problem(response.status, answer?.code ?? "", detail);
    problem.answer = answer;
    throw problem;
  }
  return answer;
}

export const get = (path) => request("GET", path);
export const post = (path, body = {}) => request("POST", path, body);
export const put = (path, body) => request("PUT", path, body);

/** The answer, or null when the server does not have this (another set of services, no demo). */
export async function maybe(path) {
  try {
    return await get(path);
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

/** Sends somebody without a session to the login page, and back here afterwards. */
export function toLogin() {
  location.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
}

/** A path segment from data. */
export const seg = encodeURIComponent;
