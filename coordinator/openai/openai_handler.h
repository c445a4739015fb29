// The OpenAI-compatible HTTP API, a thin skin over the request path. Endpoints, fields, chunk order
// and errors follow OpenAI's API and, where that is silent, vLLM's server.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/http/exchange.h"
#include "coordinator/openai/unknown_fields.h"

namespace phalanx::openai {

// Bodies up to this size are parsed by the connection's thread; larger ones, which may take longer
// than a few hundred microseconds, go to the queue.
inline constexpr size_t kInlineBytes = 16 << 10;

struct OpenAiOptions {
  UnknownFieldPolicy unknown_fields = UnknownFieldPolicy::kIgnore;
  std::function<int64_t()> unix_time = {};    // seconds; empty: the system's clock
  std::function<std::string()> metrics = {};  // in Prometheus' text format; empty: none are kept
};

// Thread-safe. `frontend` and `queue` must outlive it and its answers.
std::shared_ptr<http::Handler> MakeOpenAiHandler(Frontend& frontend, TaskQueue& queue,
                                                 OpenAiOptions options = {});

}  // namespace phalanx::openai
