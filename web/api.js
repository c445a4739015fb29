// The HTTP API, as the page uses it. Addresses are relative, so that a proxy may serve the page
// under a path of its own.
import {brokenOff, problemOf, unreachable, unreadable} from './problem.js';
import {eventsOf} from './sse.js';

// Thrown; holds a problem.
export class ApiError extends Error {
  constructor(problem, status = 0, param = null) {
    super(problem.title);
    this.problem = problem;
    this.status = status;
    this.param = param;
  }
}

const kJson = {'Content-Type': 'application/json'};

function headersWith(key, more = {}) {
  return key === '' ? more : {...more, Authorization: `Bearer ${key}`};
}

// 'ready', 'not-ready' or 'unreachable'.
export async function health() {
  try {
    const response = await fetch('health', {cache: 'no-store', signal: AbortSignal.timeout(5000)});
    return response.ok ? 'ready' : 'not-ready';
  } catch {
    return 'unreachable';
  }
}

// [{id, maxTokens}]
export async function models(key) {
  const response = await fetch('v1/models', {cache: 'no-store', headers: headersWith(key)});
  if (!response.ok) throw new ApiError(await problemOf(response, key), response.status);
  const {data} = await response.json();
  return data.map(({id, max_model_len: maxTokens}) => ({id, maxTokens}));
}

export async function version() {
  try {
    return (await (await fetch('version')).json()).version;
  } catch {
    return null;
  }
}

async function post(body, key, signal) {
  try {
    return await fetch('v1/chat/completions', {
      method: 'POST', headers: headersWith(key, kJson), body: JSON.stringify(body), signal,
      cache: 'no-store',
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(unreachable());
  }
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new ApiError(unreadable());
  }
}

// Yields the chunks of a streamed chat completion. Throws an ApiError, or an AbortError once
// `signal` is aborted.
export async function* streamChat(body, key, signal) {
  const response = await post(body, key, signal);
  if (!response.ok) {
    const param = (await response.clone().json().catch(() => ({}))).error?.param ?? null;
    throw new ApiError(await problemOf(response, key), response.status, param);
  }
  try {
    for await (const data of eventsOf(response.body)) {
      if (data === '[DONE]') return;
      const chunk = parse(data);
      if (chunk.error) throw new ApiError(brokenOff(chunk.error.message));
      yield chunk;
    }
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
  }
  if (signal.aborted) throw new DOMException('stopped', 'AbortError');
  throw new ApiError(brokenOff(''));  // an end without [DONE]
}
