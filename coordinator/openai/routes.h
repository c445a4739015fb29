// The one table of what is served where.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace phalanx::openai {

enum class Endpoint {
  kChat,
  kCompletions,
  kTokenize,
  kDetokenize,
  kModels,
  kModel,  // one of them, its id in the path
  kHealth,
  kLive,
  kReady,
  kMetrics,
  kVersion,
  kPage,  // of the chat page, a file
};

enum class Method { kGet, kPost };  // a GET route answers HEAD, too

enum class Access {
  kOpen,  // without a key, where keys are used
  kKey,
  kMetrics,  // a key that may read metrics
};

struct Route {
  std::string_view path;  // what ends in a slash is a prefix, except "/" itself
  Method method;
  Endpoint endpoint;
  Access access;
};

std::span<const Route> Routes();

// Null: no such path.
const Route* FindRoute(std::string_view path);

bool Serves(const Route& route, std::string_view method);
// The value of Allow: what a route serves; for "*", what any does.
std::string AllowedMethods(const Route* route);

}  // namespace phalanx::openai
