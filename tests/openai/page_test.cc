#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "coordinator/web/web_files.h"
#include "tests/openai/api_fixture.h"

namespace phalanx {
namespace {

using testing::Api;
using ::testing::HasSubstr;
using ::testing::Not;

std::string PathOf(const web::File& file) { return "/web/" + std::string(file.name); }

TEST(PageTest, IsServedWithoutAnEngineOrAKey) {
  Api api;
  const auto exchange = api.Request("GET", "/", "", {});
  EXPECT_EQ(exchange->WaitHead().status, 200);
  EXPECT_EQ(exchange->WaitHead().content_type, "text/html; charset=utf-8");
  EXPECT_THAT(exchange->WaitBody(), HasSubstr("<!doctype html>"));
  EXPECT_EQ(api.Request("GET", "/web/index.html", "", {})->WaitBody(), exchange->WaitBody());
}

TEST(PageTest, EveryFileHasItsTypeAndTheSameProtection) {
  const std::map<std::string, std::string> types = {
      {"html", "text/html; charset=utf-8"},
      {"css", "text/css; charset=utf-8"},
      {"js", "text/javascript; charset=utf-8"},
      {"svg", "image/svg+xml"},
  };
  Api api;
  ASSERT_EQ(web::Files().size(), 5U);
  for (const web::File& file : web::Files()) {
    SCOPED_TRACE(file.name);
    const auto exchange = api.Request("GET", PathOf(file), "", {});
    EXPECT_EQ(exchange->WaitHead().status, 200);
    const std::string ending(file.name.substr(file.name.rfind('.') + 1));
    EXPECT_EQ(exchange->WaitHead().content_type, types.at(ending));
    EXPECT_EQ(exchange->HeaderOf("Content-Security-Policy"),
              "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
              "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    EXPECT_EQ(exchange->HeaderOf("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(exchange->HeaderOf("Referrer-Policy"), "no-referrer");
    EXPECT_EQ(exchange->HeaderOf("Cache-Control"), "no-cache");
    EXPECT_EQ(exchange->HeaderOf("ETag"), file.etag);
    EXPECT_EQ(exchange->WaitBody(), file.content);
  }
}

TEST(PageTest, WeighsLittle) {
  constexpr size_t kMostBytes = 200'000;
  size_t bytes = 0;
  for (const web::File& file : web::Files()) bytes += file.content.size();
  EXPECT_LE(bytes, kMostBytes);
}

// What a policy would forbid should not be there in the first place.
TEST(PageTest, HasNeitherInlineCodeNorAddressesOfOthers) {
  for (const web::File& file : web::Files()) {
    SCOPED_TRACE(file.name);
    for (const char* word : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                             "eval(", "new Function", " style=\"", "@import", "url(http",
                             "src=\"http", "href=\"http", "import('http", "fetch('http"}) {
      EXPECT_THAT(std::string(file.content), Not(HasSubstr(word)));
    }
  }
}

// So that nothing waits for what an import imports.
TEST(PageTest, NamesAllFilesAtOnce) {
  Api api;
  const std::string page = api.Request("GET", "/", "", {})->WaitBody();
  for (const web::File& file : web::Files()) {
    if (file.name == "index.html") continue;
    EXPECT_THAT(page, HasSubstr("\"web/" + std::string(file.name) + "\""));
    EXPECT_THAT(std::string(file.content), Not(HasSubstr("\nimport ")));
  }
}

TEST(PageTest, IsNotSentAgainWhereTheBrowserHasIt) {
  Api api;
  const web::File& file = *web::FindFile("/web/app.js");
  const auto status = [&](const std::string& value) {
    const auto exchange = api.Request("GET", "/web/app.js", "", {{"if-none-match", value}});
    EXPECT_EQ(exchange->HeaderOf("ETag"), file.etag);
    EXPECT_EQ(exchange->WaitBody().empty(), exchange->WaitHead().status == 304);
    return exchange->WaitHead().status;
  };
  const std::string etag(file.etag);
  EXPECT_EQ(status(etag), 304);
  EXPECT_EQ(status("W/" + etag), 304);
  EXPECT_EQ(status("\"other\", " + etag), 304);
  EXPECT_EQ(status("*"), 304);
  EXPECT_EQ(status("\"other\""), 200);
  EXPECT_EQ(status(""), 200);
}

TEST(PageTest, TagsDiffer) {
  std::map<std::string_view, std::string_view> names;
  for (const web::File& file : web::Files()) {
    EXPECT_EQ(names.emplace(file.etag, file.name).second, true) << file.name;
    EXPECT_EQ(file.etag.size(), 18U);
    EXPECT_EQ(file.etag.front(), '"');
  }
}

}  // namespace
}  // namespace phalanx
