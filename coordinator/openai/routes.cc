#include "coordinator/openai/routes.h"

#include <algorithm>

namespace phalanx::openai {
namespace {

constexpr Route kRoutes[] = {
    {"/v1/chat/completions", Method::kPost, Endpoint::kChat, Access::kKey},
    {"/v1/completions", Method::kPost, Endpoint::kCompletions, Access::kKey},
    {"/tokenize", Method::kPost, Endpoint::kTokenize, Access::kKey},
    {"/detokenize", Method::kPost, Endpoint::kDetokenize, Access::kKey},
    {"/v1/models", Method::kGet, Endpoint::kModels, Access::kKey},
    {"/v1/models/", Method::kGet, Endpoint::kModel, Access::kKey},
    {"/health", Method::kGet, Endpoint::kHealth, Access::kOpen},
    {"/livez", Method::kGet, Endpoint::kLive, Access::kOpen},
    {"/readyz", Method::kGet, Endpoint::kReady, Access::kOpen},
    {"/metrics", Method::kGet, Endpoint::kMetrics, Access::kMetrics},
    {"/version", Method::kGet, Endpoint::kVersion, Access::kOpen},
    {"/", Method::kGet, Endpoint::kPage, Access::kOpen},
    {"/web/", Method::kGet, Endpoint::kPage, Access::kOpen},
};

bool Fits(const Route& route, std::string_view path) {
  if (route.path.back() != '/' || route.path == "/") return path == route.path;
  return path.size() > route.path.size() && path.starts_with(route.path);
}

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

const Route* FindRoute(std::string_view path) {
  const auto* const route = std::find_if(std::begin(kRoutes), std::end(kRoutes),
                                         [&](const Route& entry) { return Fits(entry, path); });
  return route == std::end(kRoutes) ? nullptr : route;
}

bool Serves(const Route& route, std::string_view method) {
  if (route.method == Method::kPost) return method == "POST";
  return method == "GET" || method == "HEAD";
}

std::string AllowedMethods(const Route* route) {
  if (route == nullptr) return "GET, HEAD, POST, OPTIONS";
  return route->method == Method::kPost ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

}  // namespace phalanx::openai
