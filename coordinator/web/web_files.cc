#include "coordinator/web/web_files.h"

#include <algorithm>
#include <string>

namespace phalanx::web {
namespace {

constexpr std::string_view kIndex = "index.html";
constexpr std::string_view kFolder = "/web/";

// Scripts, styles and requests from and to this server alone, no frames, no forms, nothing inline.
constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string_view ContentTypeOf(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  return "image/svg+xml";
}

// If-None-Match is "*" or a list of tags. Proxies that compress mark them as weak, which makes no
// difference here.
bool Names(std::string_view if_none_match, std::string_view etag) {
  return if_none_match == "*" || if_none_match.find(etag) != std::string_view::npos;
}

}  // namespace

const File* FindFile(std::string_view path) {
  std::string_view name;
  if (path == "/") {
    name = kIndex;
  } else if (path.starts_with(kFolder)) {
    name = path.substr(kFolder.size());
  }
  const std::span<const File> files = Files();
  const auto it =
      std::find_if(files.begin(), files.end(), [&](const File& file) { return file.name == name; });
  return it == files.end() ? nullptr : &*it;
}

http::Response Answer(const File& file, std::string_view if_none_match) {
  http::Response response;
  response.headers = {
      {"ETag", std::string(file.etag)},
      {"Cache-Control", "no-cache"},
      {"Content-Security-Policy", std::string(kContentSecurityPolicy)},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
  };
  if (Names(if_none_match, file.etag)) {
    response.status = 304;
    return response;
  }
  response.content_type = ContentTypeOf(file.name);
  response.body = file.content;
  return response;
}

}  // namespace phalanx::web
