// The chat page: the files of web/, compiled in, and how they are served. They come from this
// binary alone and the page asks nobody else for anything.
#pragma once

#include <span>
#include <string_view>

#include "coordinator/http/exchange.h"

namespace phalanx::web {

struct File {
  std::string_view name;  // in web/
  std::string_view etag;  // quoted, of the content
  std::string_view content;
};

std::span<const File> Files();

// What is served at a path: `/` is index.html, `/web/NAME` the file NAME. Null: nothing.
const File* FindFile(std::string_view path);

// 200 with the file, or 304 where the browser has it already. Browsers keep it and ask each time
// whether it has changed, so that a new binary shows its own page at once.
http::Response Answer(const File& file, std::string_view if_none_match);

}  // namespace phalanx::web
